//! What attempts are aimed at: a secret file, sockets and a neighbour, all real and outside the sandbox.

use std::{
    fs::{self, File, OpenOptions},
    hash::{BuildHasher, RandomState},
    io::{self, BufRead, BufReader, Read, Write},
    net::{TcpListener, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{DirBuilderExt, MetadataExt, PermissionsExt},
            net::{SocketAddr, UnixListener},
        },
    },
    path::{Path, PathBuf},
    process::{Child, Command, Stdio},
};

use serde::{Deserialize, Serialize};

use crate::{CommandLine, Limits, init::VICTIM};

/// What an act is told about the world outside and inside.
#[derive(Debug, Clone, Serialize, Deserialize)]
pub(super) struct Bait {
    /// The process that runs the attempts.
    pub(super) agent: u32,
    /// A neighbour of the agent's user, and where in its memory a secret lies.
    pub(super) victim: u32,
    pub(super) victim_memory: u64,
    /// Ports on 127.0.0.1.
    pub(super) tcp: u16,
    pub(super) udp: u16,
    /// A listener in the abstract namespace, and one with a path.
    pub(super) abstract_name: String,
    pub(super) socket: PathBuf,
    /// A file outside that everybody may read and write.
    pub(super) secret: PathBuf,
    /// What the program is given, as it sees it.
    pub(super) input: PathBuf,
    pub(super) out: PathBuf,
    pub(super) limits: Limits,
}

/// The bait laid out. Dropping it takes it away.
pub(super) struct Laid {
    pub(super) folder: PathBuf,
    pub(super) bait: Bait,
    tcp: TcpListener,
    udp: UdpSocket,
    by_name: UnixListener,
    by_path: UnixListener,
    victim: Child,
    /// Open and inheritable, as a careless agent's might be.
    _leak: File,
    text: String,
    program: PathBuf,
    program_was: (u32, u64, i64),
}

impl Laid {
    pub(super) fn lay(init: &CommandLine, limits: Limits) -> io::Result<Self> {
        let text = format!("{:016x}", RandomState::new().hash_one(std::process::id()));
        let folder = std::env::temp_dir().join(format!("tilth-escape-{text}"));
        fs::DirBuilder::new().mode(0o755).create(&folder)?;
        let inner = |name: &str| folder.join(name);
        let secret = inner("secret");
        OpenOptions::new()
            .create_new(true)
            .write(true)
            .open(&secret)?
            .write_all(text.as_bytes())?;
        // Whatever user the program is, the rights of the file alone are not what stops it.
        fs::set_permissions(&folder, fs::Permissions::from_mode(0o777))?;
        fs::set_permissions(&secret, fs::Permissions::from_mode(0o666))?;
        fs::create_dir(inner("input"))?;
        fs::write(inner("input/file"), "given")?;
        for path in ["input", "input/file"] {
            fs::set_permissions(inner(path), fs::Permissions::from_mode(0o755))?;
        }
        let leak = File::open(&secret)?;
        rustix::io::fcntl_setfd(&leak, rustix::io::FdFlags::empty())?;
        let abstract_name = format!("tilth-escape-{text}");
        let tcp = TcpListener::bind("127.0.0.1:0")?;
        let udp = UdpSocket::bind("127.0.0.1:0")?;
        let by_name =
            UnixListener::bind_addr(&SocketAddr::from_abstract_name(abstract_name.as_bytes())?)?;
        let by_path = UnixListener::bind(inner("socket"))?;
        fs::set_permissions(inner("socket"), fs::Permissions::from_mode(0o777))?;
        tcp.set_nonblocking(true)?;
        udp.set_nonblocking(true)?;
        by_name.set_nonblocking(true)?;
        by_path.set_nonblocking(true)?;
        let (victim, victim_memory) = start_victim(init, &text)?;
        let bait = Bait {
            agent: std::process::id(),
            victim: victim.id(),
            victim_memory,
            tcp: tcp.local_addr()?.port(),
            udp: udp.local_addr()?.port(),
            abstract_name,
            socket: inner("socket"),
            secret,
            input: inner("input"),
            out: inner("out"),
            limits,
        };
        let program = init.program.clone();
        let program_was = state(&program)?;
        let laid = Self {
            folder,
            bait,
            tcp,
            udp,
            by_name,
            by_path,
            victim,
            _leak: leak,
            text,
            program,
            program_was,
        };
        Ok(laid)
    }

    /// What was harmed or reached outside since the last time.
    pub(super) fn harm(&mut self) -> Vec<String> {
        let mut harm = Vec::new();
        let mut note = |happened: bool, what: &str| {
            if happened {
                harm.push(what.to_owned());
            }
        };
        note(self.tcp.accept().is_ok(), "the TCP listener was reached");
        note(self.udp.recv(&mut [0; 16]).is_ok(), "a datagram arrived");
        note(self.by_name.accept().is_ok(), "the abstract socket was reached");
        note(self.by_path.accept().is_ok(), "the socket with a path was reached");
        let secret = fs::read_to_string(&self.bait.secret);
        note(secret.ok().as_ref() != Some(&self.text), "the secret file was changed");
        let mut names: Vec<_> = fs::read_dir(&self.folder)
            .into_iter()
            .flatten()
            .flatten()
            .map(|entry| entry.file_name().to_string_lossy().into_owned())
            .filter(|name| name != "out")
            .collect();
        names.sort();
        note(names != ["input", "secret", "socket"], "the folder of the bait was changed");
        let given = fs::read_to_string(self.folder.join("input/file"));
        note(given.ok().as_deref() != Some("given"), "an input was changed");
        note(self.victim.try_wait().is_ok_and(|end| end.is_some()), "the neighbour was killed");
        let program = state(&self.program).ok();
        note(program != Some(self.program_was), "the program's file was changed");
        harm
    }

    /// Whether this is the secret.
    pub(super) fn is_secret(&self, bytes: &[u8]) -> bool {
        bytes == self.text.as_bytes()
    }
}

impl Drop for Laid {
    fn drop(&mut self) {
        // What cannot be taken away now lies in the folder for temporary files.
        let _ = self.victim.kill();
        let _ = self.victim.wait();
        let _ = crate::output::clear(&self.folder);
    }
}

/// Mode, length and time of change of a file's content.
fn state(path: &Path) -> io::Result<(u32, u64, i64)> {
    let data = path.metadata()?;
    Ok((data.mode(), data.len(), data.mtime()))
}

fn start_victim(init: &CommandLine, secret: &str) -> io::Result<(Child, u64)> {
    let mut victim = Command::new(&init.program)
        .args(&init.args)
        .arg(VICTIM)
        .env("TILTH_SECRET", secret)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut line = String::new();
    if let Some(stdout) = victim.stdout.take() {
        BufReader::new(stdout.take(64)).read_line(&mut line)?;
    }
    let address = line.trim().parse().map_err(|_| io::Error::other("the neighbour is mute"))?;
    Ok((victim, address))
}

/// The neighbour's life: it has a secret, and waits for the end of its input.
pub(crate) fn be_victim() -> io::Result<()> {
    let secret = std::env::var("TILTH_SECRET").unwrap_or_default();
    println!("{}", super::raw::at(secret.as_bytes()));
    io::stdout().flush()?;
    let mut end = Vec::new();
    io::stdin().take(1).read_to_end(&mut end)?;
    std::hint::black_box(secret);
    Ok(())
}
