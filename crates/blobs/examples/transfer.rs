//! Measures content between two processes on loopback, and small puts.
//!
//! `transfer [BYTES]` starts itself again as the holder, fetches, and prints one line of JSON:
//! seconds and CPU seconds of putting and fetching, and small puts per second.

use std::{
    io::{BufRead, BufReader, Write},
    net::SocketAddr,
    path::Path,
    process::{Command, Stdio},
    time::{Duration, Instant},
};

use bytes::Bytes;
use tilth_blobs::{Blobs, BlobsError, Config, Tag};
use tilth_protocol::{Contact, ContentRef, JobId, encode};

const LOOPBACK: SocketAddr =
    SocketAddr::new(std::net::IpAddr::V4(std::net::Ipv4Addr::LOCALHOST), 0);
const SMALL: u32 = 2_000;

/// CPU seconds (user and system) this process has used.
fn cpu() -> f64 {
    let stat = std::fs::read_to_string("/proc/self/stat").unwrap_or_default();
    let ticks = stat.rsplit_once(')').map(|(_, rest)| rest.split_whitespace().skip(11).take(2));
    let ticks: u64 =
        ticks.into_iter().flatten().filter_map(|ticks| ticks.parse::<u64>().ok()).sum();
    // USER_HZ is 100 on every Linux architecture.
    ticks as f64 / 100.0
}

/// Bytes that do not repeat.
fn write_input(path: &Path, size: u64) -> std::io::Result<()> {
    let mut file = std::io::BufWriter::with_capacity(1 << 20, std::fs::File::create(path)?);
    let mut state = 0x9e37_79b9_7f4a_7c15_u64;
    let mut left = size;
    while left > 0 {
        state ^= state << 13;
        state ^= state >> 7;
        state ^= state << 17;
        let bytes = state.to_le_bytes();
        let take = usize::try_from(left.min(8)).unwrap_or(8);
        file.write_all(&bytes[..take])?;
        left -= take as u64;
    }
    file.flush()
}

/// The holder: puts the file, says where it is and what it cost, serves until its input closes.
async fn hold(dir: &Path) -> Result<(), Box<dyn std::error::Error>> {
    let blobs = Blobs::spawn(Config::new(dir.join("holder"), [1; 32], LOOPBACK)).await?;
    let (began, used) = (Instant::now(), cpu());
    let blob = blobs.put_file(dir.join("input"), &Tag::inputs(JobId(1))).await?;
    let (seconds, used) = (began.elapsed().as_secs_f64(), cpu() - used);
    let contact: String = blobs.contact().to_bytes().iter().map(|b| format!("{b:02x}")).collect();
    println!("{contact} {} {} {seconds} {used}", blob.hash, blob.size);
    let before = cpu();
    let mut end = String::new();
    std::io::stdin().read_line(&mut end)?;
    println!("{}", cpu() - before);
    Ok(())
}

async fn small_puts(blobs: &Blobs) -> Result<f64, BlobsError> {
    let contents = (0..SMALL).map(|number| Bytes::from(encode(&vec![number; 1024])));
    let began = Instant::now();
    blobs.put_many(contents, &Tag::range(JobId(1), 0)).await?;
    blobs.sync().await?;
    Ok(f64::from(SMALL) / began.elapsed().as_secs_f64())
}

#[tokio::main]
async fn main() -> Result<(), Box<dyn std::error::Error>> {
    let mut arguments = std::env::args().skip(1);
    let first = arguments.next();
    if first.as_deref() == Some("hold") {
        return hold(Path::new(&arguments.next().ok_or("a folder is missing")?)).await;
    }
    let size = first.map_or(Ok(256 << 20), |text| text.parse::<u64>())?;
    let dir = std::env::temp_dir().join(format!("tilth-transfer-{}", std::process::id()));
    std::fs::create_dir_all(&dir)?;
    write_input(&dir.join("input"), size)?;
    let mut holder = Command::new(std::env::current_exe()?)
        .arg("hold")
        .arg(&dir)
        .stdin(Stdio::piped())
        .stdout(Stdio::piped())
        .spawn()?;
    let mut said = BufReader::new(holder.stdout.take().ok_or("no pipe")?).lines();
    let line = said.next().ok_or("the holder ended early")??;
    let words: Vec<_> = line.split(' ').collect();
    let [contact, hash, size, put_seconds, put_cpu] = words[..] else {
        return Err("bad line".into());
    };
    let contact: Result<Vec<u8>, _> = (0..contact.len() / 2)
        .map(|i| u8::from_str_radix(&contact[2 * i..2 * i + 2], 16))
        .collect();
    let contact = Contact::from_bytes(&contact?)?;
    let blob = ContentRef { hash: hash.parse()?, size: size.parse()? };

    let blobs = Blobs::spawn(Config::new(dir.join("asker"), [2; 32], LOOPBACK)).await?;
    let (began, used) = (Instant::now(), cpu());
    let deadline = Instant::now() + Duration::from_secs(600);
    blobs.get(blob, &[contact], &Tag::inputs(JobId(1)), deadline).await?;
    let (get_seconds, get_cpu) = (began.elapsed().as_secs_f64(), cpu() - used);
    let (began, out) = (Instant::now(), dir.join("output"));
    blobs.export(blob.hash, &out).await?;
    let export_seconds = began.elapsed().as_secs_f64();
    let rate = small_puts(&blobs).await?;
    drop(holder.stdin.take());
    let serve_cpu: f64 = said.next().ok_or("the holder ended early")??.parse()?;
    holder.wait()?;
    println!(
        "{{\"bytes\":{},\"put_seconds\":{put_seconds},\"put_cpu\":{put_cpu},\"get_seconds\":{get_seconds:.3},\
         \"get_cpu\":{get_cpu:.2},\"serve_cpu\":{serve_cpu:.2},\"get_mib_per_s\":{:.0},\
         \"export_seconds\":{export_seconds:.3},\"small_puts_per_s\":{rate:.0}}}",
        blob.size,
        blob.size as f64 / 1048576.0 / get_seconds,
    );
    std::fs::remove_dir_all(&dir)?;
    Ok(())
}
