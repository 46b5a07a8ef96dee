//! The native door to the renderer: the same library that runs on the farm, on this machine.
//!
//! `path-tracer --scene S.glb --environment E.hdr --settings render.json --out PICTURE.png` renders the whole
//! picture (with `--threads N`); `--tile N --out FILE` one tile as the farm returns it (raw RGB rows); `--gpu exact
//! --out FOLDER` the same as a GPU program with its job file.

use path_tracer::Renderer;
use std::error::Error;
use std::sync::atomic::{AtomicU32, Ordering};
use std::time::Instant;

const HELP: &str =
    "usage: path-tracer --scene FILE.glb [--environment FILE.hdr] --settings FILE.json --out FILE
                   [--tile N | --threads N | --gpu exact|plain]

Renders a glTF scene to a PNG, or one tile of it to raw RGB rows. With --gpu the file to write is a folder:
it gets a GPU program, a job file that runs it on the farm, and the scene as that program reads it.";

struct Options {
    scene: String,
    environment: Option<String>,
    settings: String,
    out: String,
    tile: Option<u32>,
    threads: usize,
    gpu: Option<String>,
}

fn options() -> Result<Option<Options>, Box<dyn Error>> {
    let mut args = std::env::args().skip(1);
    let mut found = std::collections::BTreeMap::new();
    while let Some(name) = args.next() {
        if name == "--help" || name == "-h" {
            return Ok(None);
        }
        let known =
            ["--scene", "--environment", "--settings", "--out", "--tile", "--threads", "--gpu"];
        if !known.contains(&name.as_str()) {
            return Err(format!("unknown option {name}\n\n{HELP}").into());
        }
        let value = args.next().ok_or_else(|| format!("{name} needs a value"))?;
        found.insert(name, value);
    }
    let ways: Vec<_> = ["--tile", "--threads", "--gpu"]
        .into_iter()
        .filter(|name| found.contains_key(*name))
        .collect();
    if ways.len() > 1 {
        return Err(format!("{} do not go together\n\n{HELP}", ways.join(" and ")).into());
    }
    let mut need =
        |name: &str| found.remove(name).ok_or_else(|| format!("{name} is missing\n\n{HELP}"));
    let (scene, settings, out) = (need("--scene")?, need("--settings")?, need("--out")?);
    Ok(Some(Options {
        scene,
        settings,
        out,
        environment: found.remove("--environment"),
        tile: found.remove("--tile").map(|v| v.parse()).transpose()?,
        gpu: found.remove("--gpu"),
        threads: found.remove("--threads").map_or(Ok(1), |v| v.parse())?,
    }))
}

fn read(path: &str) -> Result<Vec<u8>, String> {
    std::fs::read(path).map_err(|e| format!("cannot read {path}: {e}"))
}

fn main() -> Result<(), Box<dyn Error>> {
    let Some(o) = options()? else {
        println!("{HELP}");
        return Ok(());
    };
    let start = Instant::now();
    let environment = o.environment.as_deref().map(read).transpose()?;
    let renderer = Renderer::new(&read(&o.scene)?, environment.as_deref(), &read(&o.settings)?)?;
    eprintln!(
        "prepared {} triangles in {:.2} s",
        renderer.triangles_shown(),
        start.elapsed().as_secs_f64()
    );
    if let Some(tile) = o.tile {
        std::fs::write(&o.out, renderer.tile(tile)?)?;
        return Ok(());
    }
    if let Some(class) = o.gpu {
        if class != "exact" && class != "plain" {
            return Err(format!("--gpu is exact or plain, not {class}").into());
        }
        std::fs::create_dir_all(&o.out)?;
        for (name, content) in renderer.gpu_files(&class)? {
            std::fs::write(std::path::Path::new(&o.out).join(name), content)?;
        }
        return Ok(());
    }
    let start = Instant::now();
    let pixels = picture(&renderer, o.threads.clamp(1, 256))?;
    eprintln!("rendered in {:.2} s on {} threads", start.elapsed().as_secs_f64(), o.threads);
    let s = renderer.settings();
    let mut encoder = png::Encoder::new(
        std::io::BufWriter::new(std::fs::File::create(&o.out)?),
        s.width,
        s.height,
    );
    encoder.set_color(png::ColorType::Rgb);
    encoder.write_header()?.write_image_data(&pixels)?;
    Ok(())
}

/// Finished tiles with their numbers.
type Tiles = Vec<(u32, Vec<u8>)>;

/// All tiles, put together.
fn picture(renderer: &Renderer, threads: usize) -> Result<Vec<u8>, Box<dyn Error>> {
    let s = renderer.settings();
    let next = AtomicU32::new(0);
    let worker = || {
        let mut done = Tiles::new();
        loop {
            let index = next.fetch_add(1, Ordering::Relaxed);
            if index >= s.tile_count() {
                return Ok(done);
            }
            done.push((index, renderer.tile(index)?));
        }
    };
    let mut pixels = vec![0; (s.width * s.height * 3) as usize];
    let results: Vec<path_tracer::error::Result<Vec<(u32, Vec<u8>)>>> =
        std::thread::scope(|scope| {
            let handles: Vec<_> = (0..threads).map(|_| scope.spawn(worker)).collect();
            handles
                .into_iter()
                .map(|h| h.join().unwrap_or_else(|e| std::panic::resume_unwind(e)))
                .collect()
        });
    for result in results {
        for (index, tile) in result? {
            let place = renderer.place(index)?;
            for (row, line) in tile.chunks_exact(place.width as usize * 3).enumerate() {
                let at = ((place.y as usize + row) * s.width as usize + place.x as usize) * 3;
                pixels[at..at + line.len()].copy_from_slice(line);
            }
        }
    }
    Ok(pixels)
}
