//! Putting outputs together: tiles to a picture, inline values to a table, files to a folder.
//!
//! Outputs have been checked against their leaves before they come here, but their *content* is a
//! guest's: sizes are compared with what the spec says before anything is copied.

use std::{
    fs, io,
    io::Write as _,
    path::{Path, PathBuf},
};

use tilth_protocol::{ContentHash, JobSpec, Output, Problem, Status, TaskIndex};
use tilth_service::files::write_whole;

use crate::task_table::{Ending, TaskTable, beside, word};

/// One task's checked result.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct TaskOutput {
    /// How it ended.
    pub status: Status,
    /// What it wrote; empty unless the status is `Ok`.
    pub bytes: Vec<u8>,
}

/// What merging produced.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Merged {
    /// The file or folder written.
    pub path: PathBuf,
    /// BLAKE3 of the file; `None` for a folder.
    pub hash: Option<ContentHash>,
    /// Tasks without a usable output; their place is left black or empty.
    pub missing: u32,
}

/// Name of the result inside a job's folder.
pub fn default_name(output: Output) -> &'static str {
    match output {
        Output::Files => "outputs",
        Output::Values => "values.csv",
        Output::Image { .. } => "picture.png",
    }
}

/// Merges all outputs of a job into `path`, and writes the table of its tasks beside it when they have names or
/// parameters (`PATH.tasks.csv`, `PATH.tasks.json`). `output` gives a task's result or `None` if it has none.
///
/// # Errors
/// A result cannot be read, or `path` cannot be written.
pub fn merge(
    spec: &JobSpec,
    path: &Path,
    mut output: impl FnMut(TaskIndex) -> io::Result<Option<TaskOutput>>,
) -> Result<Merged, Problem> {
    let table = TaskTable::of(spec);
    let mut endings: Vec<Ending> =
        vec![None; if table.is_plain() { 0 } else { spec.task_count as usize }];
    let mut noted = |index: TaskIndex| -> io::Result<Option<TaskOutput>> {
        let output = output(index)?;
        if let Some(ending) = endings.get_mut(index as usize) {
            *ending = output.as_ref().map(|output| output.status);
        }
        Ok(output)
    };
    let merged = match spec.output {
        Output::Files => files(spec, path, &table, &mut noted),
        Output::Values => values(spec, path, &mut noted),
        Output::Image { width, height, tile } => {
            image(spec, path, Picture { width, height, tile }, &mut noted)
        }
    };
    let merged = merged.and_then(|merged| {
        if !table.is_plain() {
            let ending = |index: TaskIndex| endings.get(index as usize).copied().flatten();
            let rows = table.json(spec.task_count, ending).to_string();
            write_whole(&beside(path, "csv"), table.csv(spec.task_count, ending).as_bytes())?;
            write_whole(&beside(path, "json"), rows.as_bytes())?;
        }
        Ok(merged)
    });
    merged.map_err(|error| {
        Problem::new(
            "the results cannot be written",
            format!("{}: {error}", path.display()),
            "check the folder's permissions and free space, then fetch the job again; nothing is lost",
        )
    })
}

type Source<'a> = &'a mut dyn FnMut(TaskIndex) -> io::Result<Option<TaskOutput>>;

fn files(spec: &JobSpec, path: &Path, table: &TaskTable, output: Source<'_>) -> io::Result<Merged> {
    fs::create_dir_all(path)?;
    let mut missing = 0;
    for index in 0..spec.task_count {
        match output(index)?.filter(|output| output.status == Status::Ok) {
            Some(output) => fs::write(path.join(table.output(index)), output.bytes)?,
            None => missing += 1,
        }
    }
    Ok(Merged { path: path.to_owned(), hash: None, missing })
}

/// `task,status,value` with the value in hex: a guest's bytes need no meaning to be kept.
fn values(spec: &JobSpec, path: &Path, output: Source<'_>) -> io::Result<Merged> {
    let mut text = Vec::from(&b"task,status,value\n"[..]);
    let mut missing = 0;
    for index in 0..spec.task_count {
        let Some(output) = output(index)? else {
            missing += 1;
            continue;
        };
        let status = word(Some(output.status));
        missing += u32::from(output.status != Status::Ok);
        writeln!(text, "{index},{status},{}", alloy::hex::encode(&output.bytes))?;
    }
    write_whole(path, &text)?;
    Ok(Merged { path: path.to_owned(), hash: Some(ContentHash::of(&text)), missing })
}

/// A picture's geometry in pixels.
#[derive(Clone, Copy, Debug)]
struct Picture {
    width: u32,
    height: u32,
    tile: u32,
}

/// A tile's place: left, top, width, height, in pixels.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
struct Place {
    left: usize,
    top: usize,
    width: usize,
    height: usize,
}

impl Picture {
    /// Where the tile of a task lies; `None` outside the picture.
    fn place(self, index: TaskIndex) -> Option<Place> {
        let columns = self.width.div_ceil(self.tile);
        let (column, row) = (index % columns, index / columns);
        let (left, top) = (column.checked_mul(self.tile)?, row.checked_mul(self.tile)?);
        (top < self.height).then(|| Place {
            left: left as usize,
            top: top as usize,
            width: self.tile.min(self.width - left) as usize,
            height: self.tile.min(self.height - top) as usize,
        })
    }
}

const RGB: usize = 3;

fn image(spec: &JobSpec, path: &Path, picture: Picture, output: Source<'_>) -> io::Result<Merged> {
    let stride = picture.width as usize * RGB;
    let mut pixels = vec![0_u8; stride * picture.height as usize];
    let mut missing = 0;
    for index in 0..spec.task_count {
        let Some(place) = picture.place(index) else { continue };
        let size = place.width * place.height * RGB;
        let tile = output(index)?.filter(|output| output.bytes.len() == size);
        let Some(tile) = tile else {
            missing += 1;
            continue;
        };
        for (row, line) in tile.bytes.chunks_exact(place.width * RGB).enumerate() {
            let start = (place.top + row) * stride + place.left * RGB;
            pixels[start..start + line.len()].copy_from_slice(line);
        }
    }
    let mut encoded = Vec::new();
    let mut encoder = png::Encoder::new(&mut encoded, picture.width, picture.height);
    encoder.set_color(png::ColorType::Rgb);
    encoder.set_depth(png::BitDepth::Eight);
    let mut writer = encoder.write_header()?;
    writer.write_image_data(&pixels)?;
    writer.finish()?;
    write_whole(path, &encoded)?;
    Ok(Merged { path: path.to_owned(), hash: Some(ContentHash::of(&encoded)), missing })
}

#[cfg(test)]
mod tests {
    use proptest::prelude::*;
    use tilth_protocol::{ContentRef, Limits, Workload};

    use super::*;

    fn spec(task_count: u32, output: Output) -> JobSpec {
        JobSpec {
            name: "t".into(),
            workload: Workload::Wasm,
            program: ContentRef::of(b"\0asm"),
            inputs: vec![],
            task_count,
            limits: Limits { unit_cap: 1, prepare_cap: 0, memory_bytes: 1, output_bytes: 1 << 20 },
            output,
        }
    }

    fn ok(bytes: Vec<u8>) -> io::Result<Option<TaskOutput>> {
        Ok(Some(TaskOutput { status: Status::Ok, bytes }))
    }

    proptest! {
        #[test]
        fn tiles_cover_every_pixel_once(width in 1_u32..70, height in 1_u32..70, tile in 1_u32..33) {
            let picture = Picture { width, height, tile };
            let tiles = width.div_ceil(tile) * height.div_ceil(tile);
            let mut covered = vec![0_u8; (width * height) as usize];
            for index in 0..tiles {
                let place = picture.place(index).unwrap();
                for y in place.top..place.top + place.height {
                    for x in place.left..place.left + place.width {
                        covered[y * width as usize + x] += 1;
                    }
                }
            }
            prop_assert!(covered.iter().all(|count| *count == 1));
            prop_assert!(picture.place(tiles).is_none());
        }
    }

    #[test]
    fn picture_holds_every_tile_and_leaves_missing_ones_black() {
        let dir = tempfile::tempdir().unwrap();
        let path = dir.path().join("p.png");
        let spec = spec(4, Output::Image { width: 3, height: 3, tile: 2 });
        let merged = merge(&spec, &path, |index| match index {
            0 => ok(vec![10; 12]),
            1 => ok(vec![20; 6]),
            2 => ok(vec![30; 7]),
            _ => ok(vec![40; 3]),
        })
        .unwrap();
        assert_eq!(merged.missing, 1);
        let bytes = fs::read(&path).unwrap();
        assert_eq!(merged.hash, Some(ContentHash::of(&bytes)));
        let mut reader = png::Decoder::new(io::Cursor::new(bytes)).read_info().unwrap();
        let mut pixels = vec![0; reader.output_buffer_size().unwrap()];
        reader.next_frame(&mut pixels).unwrap();
        let reds: Vec<u8> = pixels.iter().step_by(3).copied().collect();
        assert_eq!(reds, [10, 10, 20, 10, 10, 20, 0, 0, 40]);
    }

    #[test]
    fn values_and_files_keep_failures_apart() {
        let dir = tempfile::tempdir().unwrap();
        let output = |index| match index {
            0 => ok(vec![1, 255]),
            1 => Ok(Some(TaskOutput { status: Status::Trap, bytes: vec![] })),
            _ => Ok(None),
        };
        let csv = dir.path().join("v.csv");
        let merged = merge(&spec(3, Output::Values), &csv, output).unwrap();
        assert_eq!(fs::read_to_string(csv).unwrap(), "task,status,value\n0,ok,01ff\n1,trap,\n");
        assert_eq!(merged.missing, 2);
        let merged = merge(&spec(3, Output::Files), &dir.path().join("f"), output).unwrap();
        assert_eq!(merged.missing, 2);
        assert_eq!(fs::read(dir.path().join("f/0")).unwrap(), [1, 255]);
        assert!(!dir.path().join("f/1").exists());
    }

    #[test]
    fn unwritable_place_is_a_problem_with_advice() {
        let dir = tempfile::tempdir().unwrap();
        let file = dir.path().join("file");
        fs::write(&file, "x").unwrap();
        let problem =
            merge(&spec(1, Output::Values), &file.join("below"), |_| ok(vec![])).unwrap_err();
        assert!(problem.advice.contains("nothing is lost"));
    }
}
