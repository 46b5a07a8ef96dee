//! Attempts to reach the network and files outside.

use std::{
    fs::{self, File, OpenOptions},
    io::{self, Read, Write},
    net::{TcpStream, UdpSocket},
    os::{
        linux::net::SocketAddrExt,
        unix::{
            fs::{OpenOptionsExt, symlink},
            net::{SocketAddr, UnixStream},
        },
    },
    path::{Path, PathBuf},
    process::{Command, Stdio},
};

use super::{
    bait::Bait,
    raw::{at, at_mut, call, path},
    tries::Tries,
};

/// "Relative to the working folder", as an argument.
pub(super) const HERE: u64 = (libc::AT_FDCWD as i64).cast_unsigned();

pub(super) fn tcp(bait: &Bait, tries: &mut Tries) {
    for host in ["127.0.0.1", "::ffff:127.0.0.1"] {
        tries.run(&format!("connect to {host}"), || TcpStream::connect((host, bait.tcp)));
    }
}

pub(super) fn udp(bait: &Bait, tries: &mut Tries) {
    tries.run("send a datagram", || {
        UdpSocket::bind("0.0.0.0:0")?.send_to(b"out", ("127.0.0.1", bait.udp))
    });
}

fn sockets(tries: &mut Tries, kinds: &[(&str, i32, i32, u64)]) {
    for &(what, family, kind, protocol) in kinds {
        let args = [u64::from(family.unsigned_abs()), u64::from(kind.unsigned_abs()), protocol];
        tries.run(what, || call(libc::SYS_socket, &args));
    }
}

pub(super) fn raw_sockets(_: &Bait, tries: &mut Tries) {
    let all = [
        ("ICMP", libc::AF_INET, libc::SOCK_RAW, 1),
        ("whole IP packets", libc::AF_INET, libc::SOCK_RAW, 255),
        ("link layer", libc::AF_PACKET, libc::SOCK_RAW, 0),
    ];
    sockets(tries, &all);
}

pub(super) fn netlink(_: &Bait, tries: &mut Tries) {
    let netlink = |what, protocol| (what, libc::AF_NETLINK, libc::SOCK_RAW, protocol);
    let all = [
        netlink("routes", 0),
        netlink("audit", 9),
        netlink("netfilter", 12),
        netlink("uevents", 15),
    ];
    sockets(tries, &all);
}

pub(super) fn vsock(_: &Bait, tries: &mut Tries) {
    sockets(tries, &[("to the host of this machine", libc::AF_VSOCK, libc::SOCK_STREAM, 0)]);
}

pub(super) fn odd_families(_: &Bait, tries: &mut Tries) {
    let all = [
        ("kernel crypto", libc::AF_ALG, libc::SOCK_SEQPACKET, 0),
        ("XDP", libc::AF_XDP, libc::SOCK_RAW, 0),
        ("Bluetooth", libc::AF_BLUETOOTH, libc::SOCK_RAW, 1),
        ("CAN", libc::AF_CAN, libc::SOCK_RAW, 1),
        ("TIPC", libc::AF_TIPC, libc::SOCK_STREAM, 0),
        ("RDS", libc::AF_RDS, libc::SOCK_SEQPACKET, 0),
        ("key management", libc::AF_KEY, libc::SOCK_RAW, 2),
        ("multipath TCP", libc::AF_INET, libc::SOCK_STREAM, 262),
    ];
    sockets(tries, &all);
    let mut pair = [0_i32; 2];
    tries.run("a pair to pass descriptors through", || {
        call(libc::SYS_socketpair, &[1, 1, 0, at_mut(&mut pair)])
    });
}

pub(super) fn abstract_socket(bait: &Bait, tries: &mut Tries) {
    tries.run("connect", || {
        UnixStream::connect_addr(&SocketAddr::from_abstract_name(&bait.abstract_name)?)
    });
}

pub(super) fn path_socket(bait: &Bait, tries: &mut Tries) {
    tries.run("connect", || UnixStream::connect(&bait.socket));
    for service in ["/run/dbus/system_bus_socket", "/var/run/docker.sock", "/run/systemd/private"] {
        tries.run(service, || UnixStream::connect(service));
    }
}

/// Opens, and reads what is a plain file; others might let one wait.
fn read_one(path: impl AsRef<Path>) -> io::Result<()> {
    let careful = libc::O_NONBLOCK | libc::O_NOCTTY;
    let mut file = OpenOptions::new().read(true).custom_flags(careful).open(path)?;
    if file.metadata()?.is_file() {
        let _ = file.read(&mut [0; 1])?;
    }
    Ok(())
}

fn for_writing(path: impl AsRef<Path>) -> io::Result<File> {
    OpenOptions::new().write(true).open(path)
}

pub(super) fn host_files(bait: &Bait, tries: &mut Tries) {
    let up =
        PathBuf::from("../".repeat(20)).join(bait.secret.strip_prefix("/").unwrap_or(&bait.secret));
    let old = Path::new("/.old").join(bait.secret.strip_prefix("/").unwrap_or(&bait.secret));
    tries.run("by its path", || read_one(&bait.secret));
    tries.run("by steps upward", || read_one(up));
    tries.run("by the old root", || read_one(old));
    for path in
        ["/etc/passwd", "/etc/shadow", "/etc/machine-id", "/etc/sudoers", "/boot/grub/grub.cfg"]
    {
        tries.run(path, || read_one(path));
    }
    tries.run("list /etc", || fs::read_dir("/etc"));
    tries.run("list the folder of temporary files outside", || {
        let mut entries = fs::read_dir(bait.secret.parent().unwrap_or(Path::new("/")))?;
        entries.next().unwrap_or(Err(io::ErrorKind::NotFound.into()))
    });
}

pub(super) fn host_writing(bait: &Bait, tries: &mut Tries) {
    let beside = |name| bait.secret.with_file_name(name);
    tries.run("write to a file", || for_writing(&bait.secret));
    tries.run("make a file", || File::create_new(beside("made")));
    tries.run("make a folder", || fs::create_dir(beside("folder")));
    tries.run("remove a file", || fs::remove_file(&bait.secret));
    tries.run("rename a file", || fs::rename(&bait.secret, beside("renamed")));
    tries.run("make a link", || symlink("/", beside("link")));
    tries.run("add a user", || OpenOptions::new().append(true).open("/etc/passwd"));
}

pub(super) fn own_program(_: &Bait, tries: &mut Tries) {
    let Some(me) = std::env::args_os().next().map(PathBuf::from) else { return };
    tries.run("open for writing", || for_writing(&me));
    // To itself: whoever may do this may rename it away as well, and nothing is lost if it works.
    tries.run("rename", || fs::rename(&me, &me));
    tries.run("take the rights of everybody", || {
        let file = File::open(&me)?;
        let before = file.metadata()?.permissions();
        rustix::fs::fchmod(&file, rustix::fs::Mode::empty())?;
        file.set_permissions(before)
    });
    for link in ["/proc/self/exe", "/proc/1/exe", "/proc/thread-self/exe"] {
        tries.run(link, || for_writing(link));
    }
}

pub(super) fn loader_and_libraries(_: &Bait, tries: &mut Tries) {
    for folder in ["/lib", "/bin", "/dev", "/"] {
        tries.run(&format!("make a file in {folder}"), || {
            make_and_remove(&Path::new(folder).join("libescape.so"))
        });
        let names = fs::read_dir(folder).into_iter().flatten().flatten().take(2);
        for file in names.map(|entry| entry.path()).filter(|path| path.is_file()) {
            tries.run(&format!("write to {}", file.display()), || for_writing(&file));
        }
    }
}

/// Makes a file where none should be made, and removes it again if it can.
fn make_and_remove(path: &Path) -> io::Result<()> {
    File::create_new(path)?;
    // That it was made is the finding; whether it can be removed is not.
    let _ = fs::remove_file(path);
    Ok(())
}

pub(super) fn inputs(bait: &Bait, tries: &mut Tries) {
    let file = bait.input.join("file");
    tries.run("write", || for_writing(&file));
    tries.run("remove", || fs::remove_file(&file));
    tries.run("rename", || fs::rename(&file, bait.input.join("renamed")));
    tries.run("add", || File::create_new(bait.input.join("made")));
    tries.run("map to write", || {
        let file = File::open(&file)?;
        let fd = std::os::fd::AsRawFd::as_raw_fd(&file);
        super::raw::map(4096, libc::PROT_READ | libc::PROT_WRITE, libc::MAP_SHARED, fd)
    });
}

pub(super) fn input_locks(bait: &Bait, tries: &mut Tries) {
    let open = || File::open(bait.input.join("file"));
    let number = |file: &File| u64::from(std::os::fd::AsRawFd::as_raw_fd(file).unsigned_abs());
    let shared = libc::flock { l_type: 0, l_whence: 0, l_start: 0, l_len: 0, l_pid: 0 };
    tries.run("lock for itself alone", || call(libc::SYS_flock, &[number(&open()?), 2]));
    tries.run("lock against writing", || {
        call(
            libc::SYS_fcntl,
            &[number(&open()?), u64::from(libc::F_SETLK.unsigned_abs()), at(&shared)],
        )
    });
    tries.run("lease", || {
        call(libc::SYS_fcntl, &[number(&open()?), u64::from(libc::F_SETLEASE.unsigned_abs()), 0])
    });
    tries.run("times", || {
        call(libc::SYS_utimensat, &[HERE, at(path(&bait.secret).as_bytes_with_nul()), 0, 0])
    });
}

pub(super) fn hard_links(bait: &Bait, tries: &mut Tries) {
    for (what, source) in [("of an input", &bait.input.join("file")), ("of a secret", &bait.secret)]
    {
        tries.run(what, || fs::hard_link(source, bait.out.join(what)));
    }
    tries.run("by descriptor", || {
        let file = File::open(bait.input.join("file"))?;
        let number = u64::from(std::os::fd::AsRawFd::as_raw_fd(&file).unsigned_abs());
        let target = path(&bait.out.join("linked"));
        let empty = u64::from(libc::AT_EMPTY_PATH.unsigned_abs());
        call(
            libc::SYS_linkat,
            &[number, at(c"".to_bytes_with_nul()), HERE, at(target.as_bytes_with_nul()), empty],
        )
    });
}

pub(super) fn links(bait: &Bait, tries: &mut Tries) {
    let targets = [
        ("secret", bait.secret.clone()),
        ("root", PathBuf::from("/proc/self/root/etc/passwd")),
        ("up", PathBuf::from("../".repeat(20) + "etc/passwd")),
    ];
    for (name, target) in targets {
        // Making the link is allowed; it must lead nowhere.
        if let Err(error) = symlink(target, bait.out.join(name)) {
            tries.here::<()>(&format!("make {name}"), Err(error));
            continue;
        }
        tries.run(&format!("follow {name}"), || read_one(bait.out.join(name)));
    }
}

pub(super) fn proc_of_others(bait: &Bait, tries: &mut Tries) {
    for pid in [bait.victim, bait.agent, 1] {
        for file in ["environ", "mem", "maps", "root/etc/passwd", "cwd/Cargo.toml", "fd/0", "exe"] {
            let path = format!("/proc/{pid}/{file}");
            tries.run(&path, || read_one(&path));
        }
    }
}

pub(super) fn kernel_files(_: &Bait, tries: &mut Tries) {
    for path in [
        "/proc/kcore",
        "/proc/kallsyms",
        "/proc/self/environ",
        "/proc/keys",
        "/proc/timer_list",
        "/sys/kernel/debug/x86",
        "/sys/kernel/notes",
        "/sys/class/dmi/id/product_serial",
        "/proc/mounts",
    ] {
        tries.run(&format!("read {path}"), || read_one(path));
    }
    for path in [
        "/proc/sysrq-trigger",
        "/proc/sys/kernel/core_pattern",
        "/proc/sys/kernel/modprobe",
        "/proc/self/mem",
        "/proc/self/uid_map",
        "/proc/self/oom_score_adj",
        "/sys/power/state",
        "/proc/sys/vm/drop_caches",
        "/sys/kernel/uevent_helper",
        "/sys/kernel/mm/ksm/run",
    ] {
        tries.run(&format!("write {path}"), || for_writing(path));
    }
}

pub(super) fn cgroup_files(_: &Bait, tries: &mut Tries) {
    for path in [
        "/sys/fs/cgroup/cgroup.procs",
        "/sys/fs/cgroup/memory/cgroup.procs",
        "/sys/fs/cgroup/release_agent",
        "/sys/fs/cgroup/memory/memory.limit_in_bytes",
        "/sys/fs/cgroup/pids/tasks",
        "/sys/fs/cgroup/unified/cgroup.procs",
    ] {
        tries.run(&format!("write {path}"), || for_writing(path));
    }
    tries.run("make a group", || {
        fs::create_dir("/sys/fs/cgroup/escape")?;
        let _ = fs::remove_dir("/sys/fs/cgroup/escape");
        Ok(())
    });
}

pub(super) fn devices(_: &Bait, tries: &mut Tries) {
    for path in [
        "/dev/mem",
        "/dev/kmsg",
        "/dev/port",
        "/dev/kvm",
        "/dev/fuse",
        "/dev/net/tun",
        "/dev/vda",
        "/dev/sda",
        "/dev/nvme0n1",
        "/dev/ptmx",
        "/dev/tty",
        "/dev/dri/renderD128",
        "/dev/nvidia0",
        "/dev/nvidiactl",
        "/dev/kfd",
        "/dev/input/event0",
        "/dev/snd/timer",
        "/dev/uinput",
    ] {
        tries.run(path, || read_one(path));
    }
    tries.run("/dev/shm", || make_and_remove(Path::new("/dev/shm/tilth-escape")));
}

pub(super) fn device_nodes(bait: &Bait, tries: &mut Tries) {
    let node = |kind: u32, device: u64| {
        let place = path(&bait.out.join("node"));
        call(
            libc::SYS_mknodat,
            &[HERE, at(place.as_bytes_with_nul()), u64::from(kind | 0o666), device],
        )
    };
    tries.run("memory", || node(libc::S_IFCHR, rustix::fs::makedev(1, 1)));
    tries.run("disk", || node(libc::S_IFBLK, rustix::fs::makedev(8, 0)));
    tries.run("whiteout", || node(libc::S_IFCHR, 0));
}

pub(super) fn pipes_and_sockets(bait: &Bait, tries: &mut Tries) {
    let node = |kind: u32| {
        let place = path(&bait.out.join("artifact"));
        call(libc::SYS_mknodat, &[HERE, at(place.as_bytes_with_nul()), u64::from(kind | 0o666), 0])
    };
    tries.run("a named pipe", || node(libc::S_IFIFO));
    tries.run("a socket", || node(libc::S_IFSOCK));
}

pub(super) fn written_programs(bait: &Bait, tries: &mut Tries) {
    let me = std::env::args().next().unwrap_or_default();
    let write = |mut file: File| {
        file.write_all(format!("#!{me}\n").as_bytes())?;
        Ok::<_, io::Error>(file)
    };
    for folder in [bait.out.as_path(), Path::new("/tmp")] {
        tries.run(&format!("run from {}", folder.display()), || {
            let place = folder.join("program");
            let mut options = OpenOptions::new();
            drop(write(options.create_new(true).write(true).mode(0o755).open(&place)?)?);
            Command::new(place).stdin(Stdio::null()).stdout(Stdio::null()).status()
        });
    }
    tries.run("run from memory", || {
        let file = rustix::fs::memfd_create("program", rustix::fs::MemfdFlags::empty())?;
        let file = write(File::from(file))?;
        let number = u64::from(std::os::fd::AsRawFd::as_raw_fd(&file).unsigned_abs());
        let none = [0_u64];
        let empty = u64::from(libc::AT_EMPTY_PATH.unsigned_abs());
        call(
            libc::SYS_execveat,
            &[number, at(c"".to_bytes_with_nul()), at(&none), at(&none), empty],
        )
    });
}

pub(super) fn host_programs(_: &Bait, tries: &mut Tries) {
    for program in
        ["/bin/sh", "/usr/bin/su", "/usr/bin/sudo", "/usr/bin/passwd", "/usr/bin/newuidmap"]
    {
        tries.run(program, || {
            Command::new(program).stdin(Stdio::null()).stdout(Stdio::null()).arg("--help").status()
        });
    }
}
