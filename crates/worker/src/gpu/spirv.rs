//! Makes SPIR-V exact: every float operation is marked to stay as it is written, and division and square
//! root become calls of our own functions where the device does not round them right.

use std::collections::{HashMap, HashSet};

use tilth_protocol::Problem;

// Numbers of the SPIR-V specification, 3.52 and 3.20, and of GLSL.std.450.
const MAGIC: u32 = 0x0723_0203;
const OP_NAME: u32 = 5;
const OP_EXT_INST_IMPORT: u32 = 11;
const OP_EXT_INST: u32 = 12;
const OP_TYPE_VOID: u32 = 19;
const OP_TYPE_FLOAT: u32 = 22;
const OP_TYPE_VECTOR: u32 = 23;
const OP_VARIABLE: u32 = 59;
const OP_FUNCTION: u32 = 54;
const OP_FUNCTION_CALL: u32 = 57;
const OP_DECORATE: u32 = 71;
const OP_F_DIV: u32 = 136;
const NO_CONTRACTION: u32 = 42;
const GLSL_SQRT: u32 = 31;
/// FNegate, FAdd, FSub, FMul, FDiv, VectorTimesScalar: all that [`super::rules`] lets through and that
/// may be merged, reordered or dropped with others.
const ARITHMETIC: [u32; 6] = [127, 129, 131, 133, OP_F_DIV, 142];
/// Words before the first instruction.
const HEADER: usize = 5;

/// Which operations of the device are replaced.
#[derive(Clone, Copy, Debug, Default, PartialEq, Eq)]
pub(crate) struct Replace {
    pub(crate) division: bool,
    pub(crate) square_root: bool,
}

fn broken(detail: &str) -> Problem {
    Problem::new("a translated shader is not in order", detail, "compile the program again")
}

/// An instruction: its operation, where it begins, its words.
struct Instruction<'a> {
    op: u32,
    at: usize,
    words: &'a [u32],
}

fn instructions(words: &[u32]) -> Result<Vec<Instruction<'_>>, Problem> {
    if words.len() < HEADER || words[0] != MAGIC {
        return Err(broken("it has no header"));
    }
    let (mut at, mut found) = (HEADER, Vec::new());
    while at < words.len() {
        let (op, length) = (words[at] & 0xffff, (words[at] >> 16) as usize);
        let end = at.checked_add(length).filter(|end| length > 0 && *end <= words.len());
        let end = end.ok_or_else(|| broken("an instruction is cut off"))?;
        found.push(Instruction { op, at, words: &words[at..end] });
        at = end;
    }
    Ok(found)
}

/// Text in SPIR-V: bytes in little-endian words, ended by a zero.
fn text(words: &[u32]) -> String {
    let bytes = words.iter().flat_map(|word| word.to_le_bytes());
    String::from_utf8_lossy(&bytes.take_while(|byte| *byte != 0).collect::<Vec<_>>()).into_owned()
}

/// What of a module is needed to change it.
#[derive(Default)]
struct Known {
    /// Our own functions by name.
    functions: HashMap<String, u32>,
    /// Components of float types by type: 1 for a scalar.
    floats: HashMap<u32, u32>,
    /// The set of GLSL's functions.
    glsl: Option<u32>,
}

impl Known {
    fn of(instructions: &[Instruction<'_>]) -> Self {
        let mut known = Self::default();
        // Names are the author's; only what is a function can stand in for an operation.
        let functions: HashSet<u32> = instructions
            .iter()
            .filter(|one| one.op == OP_FUNCTION)
            .filter_map(|one| one.words.get(2).copied())
            .collect();
        for Instruction { op, words, .. } in instructions {
            match (*op, *words) {
                (OP_NAME, [_, id, name @ ..]) => {
                    let name = text(name);
                    if functions.contains(id) && name.starts_with("tilth_") {
                        known.functions.insert(name, *id);
                    }
                }
                (OP_EXT_INST_IMPORT, [_, id, name @ ..]) if text(name) == "GLSL.std.450" => {
                    known.glsl = Some(*id);
                }
                (OP_TYPE_FLOAT, [_, id, 32, ..]) => {
                    known.floats.insert(*id, 1);
                }
                (OP_TYPE_VECTOR, [_, id, part, count]) if known.floats.get(part) == Some(&1) => {
                    known.floats.insert(*id, *count);
                }
                _ => {}
            }
        }
        known
    }

    /// Our function of this kind for values of a type.
    fn function(&self, kind: &str, ty: u32) -> Result<u32, Problem> {
        let count = self.floats.get(&ty).ok_or_else(|| broken("a float of another width"))?;
        let name = if *count == 1 { kind.to_owned() } else { format!("{kind}{count}") };
        let found = self.functions.get(&name).copied();
        found.ok_or_else(|| broken("a function that stands in for another is missing"))
    }
}

/// The exact form of a shader that [`super::translate`] has made.
pub(crate) fn make_exact(words: &[u32], replace: Replace) -> Result<Vec<u32>, Problem> {
    let instructions = instructions(words)?;
    let known = Known::of(&instructions);
    let starts =
        |op: u32| (OP_TYPE_VOID..=52).contains(&op) || op == OP_VARIABLE || op == OP_FUNCTION;
    // Decorations go behind names and before the first type.
    let types = instructions.iter().find(|one| starts(one.op));
    let types = types.ok_or_else(|| broken("it has no types"))?.at;
    let mut out = words[..types].to_vec();
    for one in instructions.iter().filter(|one| ARITHMETIC.contains(&one.op)) {
        let id = *one.words.get(2).ok_or_else(|| broken("an operation has no result"))?;
        out.extend([3 << 16 | OP_DECORATE, id, NO_CONTRACTION]);
    }
    for Instruction { op, words, .. } in instructions.iter().filter(|one| one.at >= types) {
        match (*op, *words) {
            (OP_F_DIV, [_, ty, id, a, b]) if replace.division => {
                let function = known.function("tilth_div", *ty)?;
                out.extend([6 << 16 | OP_FUNCTION_CALL, *ty, *id, function, *a, *b]);
            }
            (OP_EXT_INST, [_, ty, id, set, GLSL_SQRT, a])
                if replace.square_root && known.glsl == Some(*set) =>
            {
                let function = known.function("tilth_sqrt", *ty)?;
                out.extend([5 << 16 | OP_FUNCTION_CALL, *ty, *id, function, *a]);
            }
            _ => out.extend_from_slice(words),
        }
    }
    Ok(out)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn what_is_no_shader_is_refused() {
        let cut = [MAGIC, 0, 0, 0, 0, 9 << 16 | OP_NAME, 1];
        let endless = [MAGIC, 0, 0, 0, 0, OP_NAME, 1];
        let empty = [MAGIC, 0, 0, 0, 0];
        for words in [&[][..], &[1, 2, 3, 4, 5], &cut, &endless, &empty] {
            make_exact(words, Replace::default()).unwrap_err();
        }
    }
}
