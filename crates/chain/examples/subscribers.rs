//! Measures subscriptions: `cargo run --release -p tilth-chain --example subscribers -- [CONNECTIONS] [BLOCKS]`.
//!
//! Node and peers share this process. Every connection (100) has ten subscriptions to heads; blocks
//! (200) are made one after the other, each when all peers have been told of the one before. Prints
//! how long making a block takes with and without the peers, how long until the last of them knows,
//! and the processor time of one notification, its reader's part included.

use std::{
    net::SocketAddr,
    time::{Duration, Instant},
};

use anyhow::{Context, Result, ensure};
use tilth_chain::{Chain, Config, Genesis, Limits, Production};
use tokio::{
    io::{AsyncReadExt, AsyncWriteExt, BufReader},
    net::TcpStream,
    sync::mpsc,
};

const SUBSCRIPTIONS: usize = 10;

#[tokio::main]
async fn main() -> Result<()> {
    let mut arguments = std::env::args().skip(1);
    let connections: usize = arguments.next().map_or(Ok(100), |text| text.parse())?;
    let blocks: u32 = arguments.next().map_or(Ok(200), |text| text.parse())?;
    let limits = Limits { connections_max: u32::try_from(connections)? + 8, ..Limits::default() };
    let genesis = Genesis {
        chain_id: 31,
        timestamp: 1_700_000_000,
        gas_limit: 30_000_000,
        base_fee: 1_000_000_000,
        ..Genesis::default()
    };
    let config = Config { production: Production::Manual, limits, ..Config::in_memory(genesis) };
    let chain = tilth_chain::spawn(config).await.map_err(|error| error.problem())?;
    let alone = make(&chain, blocks, async || Ok(())).await?.0;
    let (told, mut news) = mpsc::channel(1024);
    for _ in 0..connections {
        let mut stream = open(chain.rpc_addr()).await?;
        for id in 0..SUBSCRIPTIONS {
            let request = format!(
                r#"{{"jsonrpc":"2.0","id":{id},"method":"eth_subscribe","params":["newHeads"]}}"#
            );
            let mut frame = vec![0x81, 0x80 | u8::try_from(request.len())?, 0, 0, 0, 0];
            frame.extend_from_slice(request.as_bytes());
            stream.write_all(&frame).await?;
            next(&mut stream).await?;
        }
        let told = told.clone();
        tokio::spawn(async move {
            while next(&mut stream).await.is_ok() && told.send(()).await.is_ok() {}
        });
    }
    let per_block = connections * SUBSCRIPTIONS;
    let before = processor_time()?;
    let (made, known) = make(&chain, blocks, async || {
        for _ in 0..per_block {
            news.recv().await.context("a peer is gone")?;
        }
        Ok(())
    })
    .await?;
    let spent = processor_time()?.saturating_sub(before).saturating_sub(alone * blocks);
    println!("subscriptions {per_block} on {connections} connections, blocks {blocks}");
    println!("a block is made in {made:.1?}; without subscriptions in {alone:.1?}");
    println!("the last peer knows after {known:.1?}");
    println!(
        "processor time per notification: {:.1?}",
        spent / (blocks * u32::try_from(per_block)?)
    );
    chain.shutdown().await;
    Ok(())
}

/// Makes blocks; means of the time for one, and of the time until `then` is done.
async fn make(
    chain: &Chain,
    blocks: u32,
    mut then: impl AsyncFnMut() -> Result<()>,
) -> Result<(Duration, Duration)> {
    let (mut made, mut known) = (Duration::ZERO, Duration::ZERO);
    for _ in 0..blocks {
        let begun = Instant::now();
        chain.mine().await.map_err(|error| error.problem())?;
        made += begun.elapsed();
        then().await?;
        known += begun.elapsed();
    }
    Ok((made / blocks, known / blocks))
}

async fn open(address: SocketAddr) -> Result<BufReader<TcpStream>> {
    let mut stream = BufReader::new(TcpStream::connect(address).await?);
    let request = format!(
        "GET / HTTP/1.1\r\nHost: {address}\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\
         Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\nSec-WebSocket-Version: 13\r\n\r\n"
    );
    stream.write_all(request.as_bytes()).await?;
    let mut head = Vec::new();
    while !head.ends_with(b"\r\n\r\n") {
        head.push(stream.read_u8().await?);
    }
    ensure!(head.starts_with(b"HTTP/1.1 101"), "{}", String::from_utf8_lossy(&head));
    Ok(stream)
}

/// Reads one frame.
async fn next(stream: &mut BufReader<TcpStream>) -> Result<()> {
    stream.read_u8().await?;
    let length = match stream.read_u8().await? {
        126 => u64::from(stream.read_u16().await?),
        127 => stream.read_u64().await?,
        short => u64::from(short),
    };
    tokio::io::copy(&mut stream.take(length), &mut tokio::io::sink()).await?;
    Ok(())
}

/// Processor time of this process so far, all threads.
fn processor_time() -> Result<Duration> {
    let stat = std::fs::read_to_string("/proc/self/stat")?;
    let fields = stat.rsplit(')').next().context("no fields")?;
    let ticks: u64 = fields
        .split_whitespace()
        .skip(11)
        .take(2)
        .map(|field| field.parse::<u64>())
        .sum::<Result<u64, _>>()?;
    // 100 ticks a second on every Linux of today.
    Ok(Duration::from_millis(ticks * 10))
}
