//! Processes under measurement: start, CPU, memory, stop.

use std::{
    fs,
    io::{BufRead as _, BufReader, Read as _, Write as _},
    net::{SocketAddr, TcpStream},
    process::{Child, Command, Stdio},
    time::{Duration, Instant},
};

use anyhow::{Context as _, bail};
use serde_json::{Value, json};

/// Kernel clock ticks per second: `USER_HZ` is 100 on every architecture we run on.
const TICKS_PER_SECOND: f64 = 100.0;

/// A process that is stopped when dropped.
pub struct Running {
    child: Child,
}

impl Running {
    /// Starts a process; its standard output can be read line by line.
    pub fn start(program: &str, args: &[&str]) -> anyhow::Result<Self> {
        let child = Command::new(program)
            .args(args)
            .stdin(Stdio::null())
            .stdout(Stdio::piped())
            .stderr(Stdio::null())
            .spawn()
            .with_context(|| format!("cannot start {program}"))?;
        Ok(Self { child })
    }

    /// The process id.
    pub fn pid(&self) -> u32 {
        self.child.id()
    }

    /// The first line of standard output.
    pub fn first_line(&mut self) -> anyhow::Result<String> {
        let stdout = self.child.stdout.as_mut().context("standard output was taken")?;
        let mut line = String::new();
        BufReader::new(stdout).read_line(&mut line)?;
        Ok(line)
    }

    /// The first line of standard output as JSON.
    pub fn first_json_line(&mut self) -> anyhow::Result<Value> {
        let line = self.first_line()?;
        serde_json::from_str(&line).with_context(|| format!("not JSON: {line:?}"))
    }

    /// Resident memory in MiB.
    pub fn rss_mib(&self) -> anyhow::Result<f64> {
        let status = fs::read_to_string(format!("/proc/{}/status", self.child.id()))?;
        let line =
            status.lines().find_map(|line| line.strip_prefix("VmRSS:")).context("no VmRSS")?;
        let kib: f64 = line.trim().trim_end_matches("kB").trim().parse()?;
        Ok(kib / 1024.0)
    }
}

impl Drop for Running {
    fn drop(&mut self) {
        // SIGTERM first: roles stop their workers themselves.
        let pid = self.child.id().to_string();
        let _ = Command::new("kill").args(["-TERM", &pid]).status();
        let deadline = Instant::now() + Duration::from_secs(10);
        while Instant::now() < deadline {
            if let Ok(Some(_)) = self.child.try_wait() {
                return;
            }
            std::thread::sleep(Duration::from_millis(20));
        }
        let _ = self.child.kill();
        let _ = self.child.wait();
    }
}

/// What a finished command cost.
pub struct Finished {
    /// Standard output.
    pub stdout: String,
    /// Wall seconds.
    pub wall: f64,
    /// CPU seconds, its own and of the children that it waited for.
    pub cpu: f64,
}

/// CPU seconds of the children that this process has waited for.
fn children_cpu() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/self/stat")?;
    // Behind the name in parentheses, which may hold blanks, the state is field 3; user and system time of children
    // are 16 and 17.
    let (_, rest) = text.rsplit_once(')').context("/proc/self/stat is not as it should be")?;
    let ticks =
        rest.split_whitespace().skip(13).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

/// Runs a command to its end and measures it.
pub fn measure(program: &str, args: &[&str]) -> anyhow::Result<Finished> {
    let (started, before) = (Instant::now(), children_cpu()?);
    let output = Command::new(program)
        .args(args)
        .stdin(Stdio::null())
        .stderr(Stdio::inherit())
        .output()
        .with_context(|| format!("cannot start {program}"))?;
    let wall = started.elapsed().as_secs_f64();
    if !output.status.success() {
        bail!("`{program} {}` failed: {}", args.join(" "), output.status);
    }
    let cpu = children_cpu()? - before;
    // Workers speak in frames, which are no text.
    let stdout = String::from_utf8_lossy(&output.stdout).into_owned();
    Ok(Finished { stdout, wall, cpu })
}

/// CPU seconds of a process that runs, of all its threads; not of its children.
pub fn process_cpu(pid: u32) -> anyhow::Result<f64> {
    let text = fs::read_to_string(format!("/proc/{pid}/stat"))?;
    let (_, rest) = text.rsplit_once(')').context("its stat is not as it should be")?;
    let ticks =
        rest.split_whitespace().skip(11).take(2).filter_map(|field| field.parse::<f64>().ok());
    Ok(ticks.sum::<f64>() / TICKS_PER_SECOND)
}

/// CPU seconds that the whole machine has spent so far on user, nice and system time. Workers in the
/// sandbox are not children of the farm's process, so only this counts all of them; the machine must
/// be otherwise idle.
pub fn machine_cpu() -> anyhow::Result<f64> {
    let text = fs::read_to_string("/proc/stat")?;
    let line = text.lines().next().context("/proc/stat is empty")?;
    let ticks: f64 =
        line.split_whitespace().skip(1).take(3).filter_map(|field| field.parse::<f64>().ok()).sum();
    Ok(ticks / TICKS_PER_SECOND)
}

/// A free port of the loopback interface. Another process may take it before it is used; a bench
/// then fails loudly.
pub fn free_port() -> anyhow::Result<u16> {
    Ok(std::net::TcpListener::bind("127.0.0.1:0")?.local_addr()?.port())
}

/// One JSON-RPC call over HTTP that asks for nothing in particular.
pub fn rpc(address: SocketAddr, method: &str) -> anyhow::Result<Value> {
    call(address, method, &json!([]))
}

/// One JSON-RPC call over HTTP; the whole answer.
pub fn call(address: SocketAddr, method: &str, params: &Value) -> anyhow::Result<Value> {
    let body = json!({ "jsonrpc": "2.0", "id": 1, "method": method, "params": params }).to_string();
    let mut stream = TcpStream::connect_timeout(&address, Duration::from_millis(200))?;
    stream.set_read_timeout(Some(Duration::from_secs(5)))?;
    write!(
        stream,
        "POST / HTTP/1.1\r\nHost: {address}\r\nContent-Type: application/json\r\n\
         Content-Length: {}\r\nConnection: close\r\n\r\n{body}",
        body.len()
    )?;
    let mut answer = String::new();
    stream.read_to_string(&mut answer)?;
    let start = answer.find('{').context("no JSON in the answer")?;
    let end = answer.rfind('}').context("no JSON in the answer")?;
    Ok(serde_json::from_str(&answer[start..=end])?)
}

/// The middle value.
pub fn median(mut values: Vec<f64>) -> f64 {
    values.sort_by(f64::total_cmp);
    values.get(values.len() / 2).copied().unwrap_or(f64::NAN)
}
