//! Small tasks to begin with. What a task does follows from what the job gives it:
//!
//! | input | task |
//! |---|---|
//! | `map.csv` | puts the counts of the job before together to an estimate of pi |
//! | `tasks.files` | counts lines, words and bytes of its own file |
//! | `tasks.csv` | follows the logistic map from `start` at growth rate `rate` |
//! | none of them | throws a million darts at a circle, its own ones by its number |
//!
//! Copy it, and change what `work` does. The crate `door` beside it reads inputs and writes the output.

use door::rows::Rows;

/// Darts of one task.
const DARTS: u64 = 1_000_000;

/// Called by the farm, once per task.
#[cfg(target_arch = "wasm32")]
#[allow(unsafe_code)]
#[unsafe(no_mangle)]
extern "C" fn task(index: i32) {
    // A task's number is unsigned; WebAssembly knows only one kind.
    door::finish(work(index.cast_unsigned()).map(String::into_bytes));
}

/// A task's output.
///
/// # Errors
/// An input is missing or not what it should be.
pub fn work(index: u32) -> Result<String, String> {
    if let Some(table) = door::text("map.csv")? {
        return gather(&Rows::read(&table)?);
    }
    if let Some(files) = door::text("tasks.files")? {
        return count(&files, index);
    }
    if let Some(table) = door::text("tasks.csv")? {
        return grow(&Rows::read(&table)?, index);
    }
    Ok(format!("{} {DARTS}\n", hits(index)))
}

/// How many of the task's darts hit the quarter circle.
fn hits(index: u32) -> u64 {
    let mut state = 0x9e37_79b9_7f4a_7c15 ^ (u64::from(index) << 1);
    let mut next = || {
        // SplitMix64.
        state = state.wrapping_add(0x9e37_79b9_7f4a_7c15);
        let mut mixed = state;
        mixed = (mixed ^ (mixed >> 30)).wrapping_mul(0xbf58_476d_1ce4_e5b9);
        mixed = (mixed ^ (mixed >> 27)).wrapping_mul(0x94d0_49bb_1331_11eb);
        (mixed ^ (mixed >> 31)) >> 32
    };
    let mut hits = 0;
    for _ in 0..DARTS {
        let (x, y) = (next(), next());
        // Both are below 2^32, so the sum of their squares may need 65 bits.
        hits += u64::from(x * x <= u64::MAX - y * y);
    }
    hits
}

/// The reduce job: all counts together.
fn gather(table: &Rows) -> Result<String, String> {
    let (mut hits, mut darts, mut tasks) = (0_u64, 0_u64, 0_u32);
    for row in 0..table.len() {
        // A task that failed has a row and no output.
        if table.get(row, "status")? != "ok" {
            continue;
        }
        let name = table.get(row, "output")?;
        let counts = door::need(name)?;
        let mut numbers = counts.split_whitespace().map(|word| word.parse::<u64>().ok());
        let (Some(Some(hit)), Some(Some(thrown))) = (numbers.next(), numbers.next()) else {
            return Err(format!("/in/{name} holds no two numbers"));
        };
        hits = hits.checked_add(hit).ok_or("too many hits")?;
        darts = darts.checked_add(thrown).ok_or("too many darts")?;
        tasks += 1;
    }
    if darts == 0 {
        return Err("no task has thrown a dart".to_owned());
    }
    #[allow(clippy::cast_precision_loss)]
    let pi = 4.0 * hits as f64 / darts as f64;
    Ok(format!("{tasks} tasks, {darts} darts, pi is about {pi:.6}\n"))
}

/// One task per file.
fn count(files: &str, index: u32) -> Result<String, String> {
    let name = files.lines().nth(index as usize).ok_or("there is no file for this task")?;
    let bytes = door::input(name)?.ok_or_else(|| format!("/in/{name} is missing"))?;
    let lines = bytes.iter().filter(|byte| **byte == b'\n').count();
    let words = bytes.split(u8::is_ascii_whitespace).filter(|word| !word.is_empty()).count();
    Ok(format!("{lines} lines, {words} words, {} bytes\n", bytes.len()))
}

/// One task per combination of parameters.
fn grow(table: &Rows, index: u32) -> Result<String, String> {
    let row = index as usize;
    let (rate, mut share): (f64, f64) = (table.number(row, "rate")?, table.number(row, "start")?);
    for _ in 0..1000 {
        share = rate * share * (1.0 - share);
    }
    Ok(format!("{share}\n"))
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn darts_hit_a_quarter_circle() {
        let hits: u64 = (0..8).map(hits).sum();
        #[allow(clippy::cast_precision_loss)]
        let pi = 4.0 * hits as f64 / (8 * DARTS) as f64;
        // Four times the standard error of eight million darts.
        assert!((pi - std::f64::consts::PI).abs() < 0.0024, "{pi}");
    }

    #[test]
    fn rows_give_the_parameters() {
        let table = Rows::read("rate,start\n2.5,0.3\n").unwrap();
        // The fixed point of the map is 1 - 1/rate.
        let share: f64 = grow(&table, 0).unwrap().trim().parse().unwrap();
        assert!((share - 0.6).abs() < 1e-12);
        assert!(grow(&table, 1).is_err());
    }
}
