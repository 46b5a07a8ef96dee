//! Meeting and relaying: homes behind routers made of network namespaces, with our own relay between them.

use anyhow::Context as _;

use super::Report;
use crate::run::output;

/// Before the figures in what the measuring test says.
const MARK: &str = "@figures ";

pub fn run(report: &mut Report) -> anyhow::Result<()> {
    // The same selection as for the tests, so that nothing is built twice.
    let args = ["test", "--workspace", "--release", "--test", "nat", "--"];
    let which = ["--ignored", "--exact", "figures::figures", "--nocapture"];
    let said = output("cargo", &[&args[..], &which].concat())?;
    let line = said.lines().find_map(|line| line.strip_prefix(MARK));
    let line = line.context("nothing was measured: root, ip and nft are needed")?;
    let figures: serde_json::Value = serde_json::from_str(line)?;
    let number = |path: &str| figures.pointer(path).and_then(|value| value.as_f64());
    let figure = |path: &str| number(path).with_context(|| format!("no figure {path}: {line}"));
    let mebibytes = figure("/bytes")? / f64::from(1 << 20);
    let plain = figure("/public/seconds")?;
    for (what, name) in [
        ("a public address", "public"),
        ("two routers, hole punched", "punched"),
        ("through the relay", "relayed"),
    ] {
        let seconds = figure(&format!("/{name}/seconds"))?;
        let passed_on = figure(&format!("/{name}/relay-bytes"))? / f64::from(1 << 20);
        report.line(
            &format!("{mebibytes:.0} MiB blob, {what}"),
            format!("{seconds:.2} s ({:.0} MiB/s)", mebibytes / seconds),
            format!("public address {plain:.2} s"),
            format!(
                "{:.1}x the time; CPU of both ends and relay {:.2} s; {passed_on:.2} MiB through the relay",
                seconds / plain,
                figure(&format!("/{name}/cpu"))?,
            ),
        );
    }
    for (what, name) in
        [("first 1000 bytes of a stranger", "first-byte-ms"), ("a direct path", "direct-ms")]
    {
        report.line(
            &format!("two homes that share a relay, until {what}"),
            format!("{:.0} ms (median)", figure(&format!("/{name}/median"))?),
            "-".into(),
            format!(
                "{:.0} ms at most of {}",
                figure(&format!("/{name}/most"))?,
                figure("/meetings")?
            ),
        );
    }
    Ok(())
}
