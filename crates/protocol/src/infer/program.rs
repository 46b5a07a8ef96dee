//! The program of an `infer` job: which model answers which prompts, and how.
//!
//! Model and prompts are inputs of the job; the program names them. The prompts' file has one line per task, each a
//! JSON value: a text, or an object with `prompt` or `messages`, and `seed` if the line has one of its own.

use borsh::{BorshDeserialize, BorshSerialize};

use super::{OutOfBounds, Parameters, receipt::MAX_RECEIPT_BYTES, within};
use crate::{encoding::DecodeError, encoding::decode, encoding::encode, spec::is_file_name};

/// How a program begins.
pub const INFER_MAGIC: &[u8; 8] = b"tilthinf";
/// Most bytes of a program: parameters, maybe with a schema, and two names.
pub const MAX_INFER_PROGRAM_BYTES: usize = MAX_RECEIPT_BYTES;
/// Most bytes of a file of prompts.
pub const MAX_PROMPTS_BYTES: u64 = 1 << 30;

/// The program of an `infer` job.
#[derive(Clone, Debug, PartialEq, Eq, BorshSerialize, BorshDeserialize)]
pub struct InferProgram {
    /// Name of the input with the model blob.
    pub model: String,
    /// Name of the input with the prompts.
    pub prompts: String,
    /// How answers are made; without log-probabilities.
    pub parameters: Parameters,
}

/// Versioned wire form.
#[derive(BorshSerialize, BorshDeserialize)]
enum Wire {
    /// Before answers had forms. Nothing is read of it.
    V1,
    /// Schemas came later, as one more form: what had none is the same bytes.
    V2(InferProgram),
}

/// Why a program is refused.
#[derive(Debug, PartialEq, Eq, thiserror::Error)]
pub enum InferProgramError {
    /// It does not begin as one.
    #[error("it does not begin with \"tilthinf\"")]
    Magic,
    /// It is of a version that is not read any more.
    #[error("it was packed by an earlier version: pack it again with this one")]
    Old,
    /// It is not the encoding of one.
    #[error("it cannot be decoded: {0}")]
    Encoding(#[from] DecodeError),
    /// Something is outside its bounds.
    #[error(transparent)]
    Bounds(#[from] OutOfBounds),
}

impl InferProgram {
    /// The program's bytes, with the magic.
    pub fn to_bytes(&self) -> Vec<u8> {
        let mut bytes = INFER_MAGIC.to_vec();
        bytes.extend(encode(&Wire::V2(self.clone())));
        bytes
    }

    /// Reads and checks a program.
    ///
    /// # Errors
    /// [`InferProgramError`].
    pub fn from_bytes(bytes: &[u8]) -> Result<Self, InferProgramError> {
        let rest = bytes.strip_prefix(INFER_MAGIC).ok_or(InferProgramError::Magic)?;
        // By its first byte alone: what comes behind it then is not read.
        if rest.first() == Some(&0) {
            return Err(InferProgramError::Old);
        }
        let Wire::V2(program) = decode(rest, MAX_INFER_PROGRAM_BYTES)? else {
            return Err(InferProgramError::Old);
        };
        program.check()?;
        Ok(program)
    }

    /// Checks every bound.
    ///
    /// # Errors
    /// The first thing that is outside.
    pub fn check(&self) -> Result<(), OutOfBounds> {
        for name in [&self.model, &self.prompts] {
            within(
                is_file_name(name),
                "an input's name",
                format!("{name:?}"),
                "a plain file name",
            )?;
        }
        within(
            self.parameters.alternatives.is_none(),
            "the number of alternatives",
            "given",
            "left out in jobs",
        )?;
        self.parameters.check()
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn programs_of_the_version_before_are_named_as_such() {
        for body in [&[][..], &[3, 0, 0, 0, b'm', b'x', b'y']] {
            let bytes = [INFER_MAGIC.as_slice(), &[0], body].concat();
            assert_eq!(InferProgram::from_bytes(&bytes), Err(InferProgramError::Old));
        }
    }

    #[test]
    fn programs_survive_and_others_are_refused() {
        let program = InferProgram {
            model: "model".into(),
            prompts: "prompts".into(),
            parameters: Parameters::default(),
        };
        assert_eq!(InferProgram::from_bytes(&program.to_bytes()), Ok(program.clone()));
        assert_eq!(InferProgram::from_bytes(b"\0asm"), Err(InferProgramError::Magic));
        let bytes = program.to_bytes();
        assert!(InferProgram::from_bytes(&bytes[..bytes.len() - 1]).is_err());
        let odd = InferProgram { model: "../model".into(), ..program.clone() };
        assert!(InferProgram::from_bytes(&odd.to_bytes()).is_err());
        let parameters = Parameters { alternatives: Some(1), ..Parameters::default() };
        let odd = InferProgram { parameters, ..program };
        assert!(InferProgram::from_bytes(&odd.to_bytes()).is_err());
    }
}
