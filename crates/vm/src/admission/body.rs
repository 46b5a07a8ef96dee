//! Function bodies: what the first pass finds in them, and how they are rewritten.

use wasm_encoder::{BlockType, Function, Instruction, reencode::Reencode};
use wasmparser::{FuncValidator, FunctionBody, Operator, OperatorsReader, WasmModuleResources};

use super::{Refusal, caps, survey::invalid};
use crate::stack;

/// What is known about a function body.
#[derive(Clone, Copy, Debug)]
pub(super) struct BodySurvey {
    /// Upper bound of its native frame.
    pub(super) weight: u32,
    /// Whether it calls any function.
    pub(super) calls: bool,
    /// Whether it changes tables or drops segments.
    pub(super) changes_tables: bool,
    /// Entries of branch tables times the nesting they stand at.
    pub(super) branch_work: u64,
    /// Loops, each counted as often as there are locals, and more the deeper it is nested: an estimate
    /// of the merges of values that the compiler makes at loop heads. Bulk operations count as loops,
    /// which they become when they are metered.
    pub(super) loop_work: u64,
}

/// Validates a body operator by operator, under the caps.
pub(super) fn survey_body<T: WasmModuleResources>(
    number: usize,
    validator: &mut FuncValidator<T>,
    body: &FunctionBody<'_>,
) -> Result<BodySurvey, Refusal> {
    let size = body.range().len();
    caps::check(format!("bytes of function {number}"), size, caps::BODY_BYTES)?;
    let mut reader = body.get_binary_reader();
    validator.read_locals(&mut reader).map_err(invalid)?;
    let locals = validator.len_locals();
    caps::check(format!("locals of function {number}"), locals as usize, caps::LOCALS)?;

    #[expect(clippy::cast_possible_truncation, reason = "the size was just bounded")]
    let weight = stack::frame_weight(locals, size as u32);
    let mut found =
        BodySurvey { weight, calls: false, changes_tables: false, branch_work: 0, loop_work: 0 };
    let mut loops = Loops { locals: u64::from(locals), open: Vec::new(), constant: None };
    let mut operators = OperatorsReader::new(reader);
    while !operators.eof() {
        let (operator, offset) = operators.read_with_offset().map_err(invalid)?;
        validator.op(offset, &operator).map_err(invalid)?;
        let nesting = validator.control_stack_height();
        caps::check(
            format!("nested blocks in function {number}"),
            nesting as usize,
            caps::NESTING,
        )?;
        found.note(&operator, nesting);
        found.loop_work = found.loop_work.saturating_add(loops.work(&operator));
    }
    operators.finish().map_err(invalid)?;
    if found.branch_work > caps::BRANCH_WORK {
        return Err(Refusal::Cap {
            what: format!("entries of branch tables times their nesting in function {number}"),
            value: found.branch_work,
            cap: caps::BRANCH_WORK,
        });
    }
    Ok(found)
}

impl BodySurvey {
    fn note(&mut self, operator: &Operator<'_>, nesting: u32) {
        match operator {
            Operator::Call { .. } | Operator::CallIndirect { .. } => self.calls = true,
            Operator::BrTable { targets } => {
                let work = u64::from(targets.len()).saturating_mul(u64::from(nesting));
                self.branch_work = self.branch_work.saturating_add(work);
            }
            Operator::TableSet { .. }
            | Operator::TableGrow { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. }
            | Operator::ElemDrop { .. }
            | Operator::DataDrop { .. } => self.changes_tables = true,
            _ => {}
        }
    }
}

/// Follows the nesting of loops through a body.
struct Loops {
    locals: u64,
    /// For each open block, whether it is a loop.
    open: Vec<bool>,
    /// The constant that the last operator pushed.
    constant: Option<i32>,
}

impl Loops {
    /// Longest copy of constant length that the compiler makes without a loop.
    const SHORT_COPY: i32 = 128;
    /// Values of the machine's own that are merged like locals.
    const OWN_VALUES: u64 = 4;

    fn work(&mut self, operator: &Operator<'_>) -> u64 {
        let constant = self.constant.take();
        let makes_loop = match operator {
            Operator::Block { .. } | Operator::If { .. } => {
                self.open.push(false);
                false
            }
            Operator::Loop { .. } => {
                self.open.push(true);
                true
            }
            Operator::End => {
                self.open.pop();
                false
            }
            Operator::I32Const { value } => {
                self.constant = Some(*value);
                false
            }
            Operator::MemoryCopy { .. } => {
                !constant.is_some_and(|length| (0..=Self::SHORT_COPY).contains(&length))
            }
            Operator::MemoryFill { .. }
            | Operator::MemoryInit { .. }
            | Operator::TableFill { .. }
            | Operator::TableCopy { .. }
            | Operator::TableInit { .. } => true,
            _ => false,
        };
        if !makes_loop {
            return 0;
        }
        let depth = self.open.iter().filter(|is_loop| **is_loop).count() as u64;
        (self.locals + Self::OWN_VALUES) * (64 + depth) / 64
    }
}

/// Indices of what admission adds to the module.
#[derive(Clone, Copy)]
pub(super) struct Added {
    /// The global that holds what is left of the stack budget.
    pub(super) budget: u32,
    /// The imported function for `memory.grow`.
    pub(super) grow: u32,
    /// The imported function for recursion that is too deep.
    pub(super) too_deep: u32,
}

/// Rewrites a body: `memory.grow` becomes a call, and unless it calls nothing, the frame's weight is
/// taken from the budget on entry and given back on every exit.
///
/// The old body becomes one block of the new one, so that every branch out of the function ends in
/// front of the code that gives the weight back; `return` becomes such a branch.
pub(super) fn rewrite_body<R: Reencode>(
    reencoder: &mut R,
    added: Added,
    found: BodySurvey,
    block: BlockType,
    body: &FunctionBody<'_>,
) -> Result<Function, wasm_encoder::reencode::Error<R::Error>> {
    let mut function = reencoder.new_function_with_parsed_locals(body)?;
    if found.calls {
        enter(&mut function, added, found.weight);
        function.instruction(&Instruction::Block(block));
    }
    let mut operators = body.get_operators_reader()?;
    // Blocks open at this point, not counting the function itself.
    let mut depth = 0_u32;
    while !operators.eof() {
        let operator = operators.read()?;
        match &operator {
            Operator::Block { .. } | Operator::Loop { .. } | Operator::If { .. } => depth += 1,
            // The last `end` closes the function, which is now a block.
            Operator::End => depth = depth.saturating_sub(1),
            _ => {}
        }
        let instruction = match operator {
            Operator::Return if found.calls => Instruction::Br(depth),
            Operator::MemoryGrow { .. } => Instruction::Call(added.grow),
            other => reencoder.instruction(other)?,
        };
        function.instruction(&instruction);
    }
    if found.calls {
        leave(&mut function, added, found.weight);
        function.instruction(&Instruction::End);
    }
    Ok(function)
}

fn enter(function: &mut Function, added: Added, weight: u32) {
    let weight = Instruction::I32Const(weight.cast_signed());
    function
        .instruction(&Instruction::GlobalGet(added.budget))
        .instruction(&weight)
        .instruction(&Instruction::I32LtU)
        .instruction(&Instruction::If(BlockType::Empty))
        .instruction(&Instruction::Call(added.too_deep))
        .instruction(&Instruction::Unreachable)
        .instruction(&Instruction::End)
        .instruction(&Instruction::GlobalGet(added.budget))
        .instruction(&weight)
        .instruction(&Instruction::I32Sub)
        .instruction(&Instruction::GlobalSet(added.budget));
}

fn leave(function: &mut Function, added: Added, weight: u32) {
    function
        .instruction(&Instruction::GlobalGet(added.budget))
        .instruction(&Instruction::I32Const(weight.cast_signed()))
        .instruction(&Instruction::I32Add)
        .instruction(&Instruction::GlobalSet(added.budget));
}
