//! What a task is asked: a row of `tasks.csv`.
//!
//! | column | what |
//! |---|---|
//! | `prompt` | token numbers, with spaces between |
//! | `most` | the most tokens of the answer |
//! | `stops` | tokens that end the answer, as `prompt`; may be missing |
//! | `temperature`, `top_k`, `top_p`, `seed` | how tokens are chosen; may be missing, and then the likeliest is |
//!
//! All are whole numbers: temperature and top-p in 65,536ths.

use door::rows::Rows;
use tilth_tensor::engine::Request;
use tilth_tensor::int1::sampling::Sampling;

/// The most tokens of a prompt or an answer: with fewer than a context has at most, so that sums do not overflow.
const MOST: usize = 1 << 20;

/// The request of a task.
///
/// # Errors
/// There is no such row, or a field is not a number.
pub fn read(table: &str, index: usize) -> Result<Request, String> {
    let rows = Rows::read(table).map_err(|error| format!("/in/tasks.csv: {error}"))?;
    let field = |column| rows.get(index, column).map_err(|error| format!("/in/tasks.csv: {error}"));
    let optional = |column| if rows.has(column) { field(column) } else { Ok("") };
    let most: usize = number("most", field("most")?)?.unwrap_or(0);
    let prompt = numbers("prompt", field("prompt")?)?;
    if most > MOST || prompt.len() > MOST {
        return Err(format!("more than {MOST} tokens"));
    }
    let greedy = Sampling::GREEDY;
    Ok(Request {
        id: 0,
        prompt,
        most,
        sampling: Sampling {
            temperature: number("temperature", optional("temperature")?)?.unwrap_or(0),
            top_k: number("top_k", optional("top_k")?)?.unwrap_or(greedy.top_k),
            top_p: number("top_p", optional("top_p")?)?.unwrap_or(greedy.top_p),
            seed: number("seed", optional("seed")?)?.unwrap_or(0),
            stream: 0,
        },
        stops: numbers("stops", optional("stops")?)?,
        alternatives: None,
    })
}

fn number<T: std::str::FromStr>(column: &str, text: &str) -> Result<Option<T>, String> {
    match text.trim() {
        "" => Ok(None),
        text => text.parse().map(Some).map_err(|_| format!("{column} is {text:?}, not a number")),
    }
}

fn numbers(column: &str, text: &str) -> Result<Vec<u32>, String> {
    let words = text.split_ascii_whitespace();
    words.map(|word| word.parse().map_err(|_| format!("{column} has {word:?}"))).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn a_row_is_a_request() {
        let table = "prompt,most,seed,temperature\n1 2 30,4,,\n7,1,99,65536\n";
        let first = read(table, 0).unwrap();
        assert_eq!(
            (&first.prompt[..], first.most, first.sampling),
            (&[1u32, 2, 30][..], 4, Sampling::GREEDY)
        );
        let second = read(table, 1).unwrap();
        assert_eq!((second.sampling.seed, second.sampling.temperature), (99, 65_536));
        assert!(second.stops.is_empty());
    }

    #[test]
    fn what_is_no_request_is_refused() {
        for (table, expected) in [
            ("prompt\n1\n", "no column \"most\""),
            ("prompt,most\n1 x,3\n", "prompt has \"x\""),
            ("prompt,most\n1,-3\n", "most is \"-3\""),
            ("prompt,most\n1,1048577\n", "more than"),
            ("prompt,most,seed\n1,2,0.5\n", "seed is"),
        ] {
            let error = read(table, 0).unwrap_err();
            assert!(error.contains(expected), "{error}");
        }
        assert!(read("prompt,most\n1,2\n", 1).unwrap_err().contains("no row 1"));
    }
}
