//! The renderer as a whole, natively, on the scene of examples/render.
//!
//! `golden.rgb` holds all tiles of a small picture one after the other. This test compares the native renderer with
//! it; `cargo xtask guests --check` compares the WebAssembly program with the same file, so both give the same bits.

use path_tracer::Renderer;
use std::path::PathBuf;

fn file(name: &str) -> Vec<u8> {
    let path = PathBuf::from(env!("CARGO_MANIFEST_DIR")).join(name);
    std::fs::read(&path).unwrap_or_else(|e| panic!("{}: {e}", path.display()))
}

fn scene() -> Vec<u8> {
    file("../../examples/render/scene.glb")
}

fn renderer(settings: &[u8]) -> Renderer {
    Renderer::new(&scene(), Some(&file("../../examples/render/environment.hdr")), settings).unwrap()
}

#[test]
fn native_picture_is_the_golden_one() {
    let r = renderer(&file("tests/render.json"));
    let tiles: Vec<u8> = (0..r.settings().tile_count()).flat_map(|i| r.tile(i).unwrap()).collect();
    if std::env::var_os("WRITE_GOLDEN").is_some() {
        std::fs::write(PathBuf::from(env!("CARGO_MANIFEST_DIR")).join("tests/golden.rgb"), &tiles)
            .unwrap();
    }
    let golden = file("tests/golden.rgb");
    assert_eq!(tiles.len(), golden.len());
    let different = tiles.iter().zip(&golden).filter(|(a, b)| a != b).count();
    assert_eq!(different, 0, "{different} of {} bytes differ", golden.len());
    let mean = tiles.iter().map(|&b| u64::from(b)).sum::<u64>() / tiles.len() as u64;
    assert!((60..200).contains(&mean), "mean brightness {mean}");
}

#[test]
fn one_tile_all_of_them_and_a_gpu_program_exclude_each_other() {
    for ways in [["--tile", "1", "--gpu", "exact"], ["--threads", "2", "--gpu", "plain"]] {
        let run = std::process::Command::new(env!("CARGO_BIN_EXE_path-tracer"))
            .args(["--scene", "s", "--settings", "s", "--out", "o"])
            .args(ways)
            .output()
            .unwrap();
        let said = String::from_utf8_lossy(&run.stderr);
        assert!(!run.status.success() && said.contains("do not go together"), "{said}");
        assert!(said.contains(ways[0]) && said.contains("--gpu"), "{said}");
    }
}

/// The picture does not depend on how it is cut.
#[test]
fn tiles_of_any_size_give_the_same_pixels() {
    let settings = |tile: u32| {
        let text = String::from_utf8(file("tests/render.json")).unwrap();
        text.replace("\"tile\": 32", &format!("\"tile\": {tile}")).into_bytes()
    };
    let picture = |tile: u32| {
        let r = renderer(&settings(tile));
        assert_eq!(r.settings().tile, tile);
        let (w, h) = (r.settings().width as usize, r.settings().height as usize);
        let mut out = vec![0; w * h * 3];
        for i in 0..r.settings().tile_count() {
            let place = r.place(i).unwrap();
            for (row, line) in r.tile(i).unwrap().chunks_exact(place.width as usize * 3).enumerate()
            {
                let at = ((place.y as usize + row) * w + place.x as usize) * 3;
                out[at..at + line.len()].copy_from_slice(line);
            }
        }
        out
    };
    assert_eq!(picture(32), picture(50));
}

#[test]
fn a_tile_behind_the_last_is_refused() {
    let r = renderer(&file("tests/render.json"));
    let e = r.tile(r.settings().tile_count()).unwrap_err().to_string();
    assert!(e.contains("does not exist"), "{e}");
}

/// Broken scenes give an error or a picture, never a panic (in WebAssembly: a trap without a reason).
#[test]
fn broken_scenes_are_refused_or_rendered() {
    let good = scene();
    let settings = br#"{"width":8,"height":8,"tile":8,"samples":1,"camera":{"position":[0,0.3,1],"target":[0,0.1,0]}}"#;
    let json_end = 20 + u32::from_le_bytes([good[12], good[13], good[14], good[15]]) as usize;
    let mut refused = 0;
    let mut attempt = |bytes: &[u8]| match Renderer::new(bytes, None, settings) {
        Ok(r) => assert_eq!(r.tile(0).unwrap().len(), 192),
        Err(e) => {
            assert!(!e.to_string().is_empty());
            refused += 1;
        }
    };
    for cut in [
        0,
        3,
        4,
        11,
        12,
        19,
        20,
        1000,
        json_end - 1,
        json_end,
        json_end + 7,
        good.len() / 2,
        good.len() - 1,
    ] {
        attempt(&good[..cut]);
    }
    let mut random = 12345u32;
    let mut next = |below: usize| {
        random = random.wrapping_mul(1_664_525).wrapping_add(1_013_904_223);
        (random >> 8) as usize % below
    };
    // Digits become other digits: counts, offsets, indices and sizes go astray while the text stays JSON.
    for _ in 0..150 {
        let mut bytes = good.clone();
        for _ in 0..4 {
            let at = 20 + next(json_end - 20);
            if bytes[at].is_ascii_digit() {
                bytes[at] = b'0' + next(10) as u8;
            } else {
                let at = json_end + next(bytes.len() - json_end);
                bytes[at] ^= 1 << next(8);
            }
        }
        attempt(&bytes);
    }
    assert!(refused > 13, "only {refused} were refused");
}
