//! Second pass: writes the module the machine compiles.
//!
//! Compared with the original it has two more imported functions (so function indices move), one
//! more global that counts the stack budget, exports for what the machine needs to reach, no start
//! section, and no active data segments: an empty passive one stands in for each, which behaves like
//! an active segment after instantiation.

use std::{collections::HashMap, convert::Infallible};

use wasm_encoder::{
    BlockType, CodeSection, ConstExpr, DataCountSection, DataSection, ElementSection, EntityType,
    ExportKind, ExportSection, FunctionSection, GlobalSection, GlobalType, ImportSection,
    MemorySection, Module, TableSection, TypeSection, ValType,
    reencode::{Error, Reencode},
};
use wasmparser::{DataKind, Parser, Payload};

use super::{
    GROW, HOST_MODULE, MEMORY, Refusal, START, Segment, TOO_DEEP,
    body::{Added, rewrite_body},
    global_name,
    survey::{Survey, constant, invalid},
};
use crate::{engine::FEATURES, stack};

/// Functions that are added behind the imported ones.
const ADDED_FUNCTIONS: u32 = 2;

/// Shifts indices of functions that are not imported.
struct Shift {
    imported: u32,
}

impl Reencode for Shift {
    type Error = Infallible;

    fn function_index(&mut self, index: u32) -> Result<u32, Error> {
        Ok(if index < self.imported { index } else { index + ADDED_FUNCTIONS })
    }
}

fn failed(error: Error) -> Refusal {
    match error {
        Error::ParseError(error) => invalid(error),
        other => Refusal::Unsupported(other.to_string()),
    }
}

/// The sections of the new module, in their order.
struct Writer<'a> {
    survey: &'a Survey,
    shift: Shift,
    added: Added,
    types: TypeSection,
    /// Types `() -> results` that stand for blocks with several results.
    blocks: HashMap<Vec<wasmparser::ValType>, u32>,
    imports: ImportSection,
    functions: FunctionSection,
    tables: TableSection,
    memories: MemorySection,
    globals: GlobalSection,
    exports: ExportSection,
    elements: ElementSection,
    data_count: Option<u32>,
    code: CodeSection,
    data: DataSection,
    segments: Vec<Segment>,
    bodies: usize,
}

/// Rewrites a module that was surveyed; returns it with the data that was taken out.
pub(super) fn rewrite(bytes: &[u8], survey: &Survey) -> Result<(Vec<u8>, Vec<Segment>), Refusal> {
    let mut writer = Writer::new(survey);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    for payload in parser.parse_all(bytes) {
        writer.copy(payload.map_err(invalid)?)?;
    }
    Ok(writer.finish())
}

impl<'a> Writer<'a> {
    fn new(survey: &'a Survey) -> Self {
        let imported = survey.imported;
        #[expect(clippy::cast_possible_truncation, reason = "globals are capped far below 2^32")]
        let globals = survey.mutable_globals.len() as u32;
        Self {
            survey,
            shift: Shift { imported },
            added: Added { budget: globals, grow: imported, too_deep: imported + 1 },
            types: TypeSection::new(),
            blocks: HashMap::new(),
            imports: ImportSection::new(),
            functions: FunctionSection::new(),
            tables: TableSection::new(),
            memories: MemorySection::new(),
            globals: GlobalSection::new(),
            exports: ExportSection::new(),
            elements: ElementSection::new(),
            data_count: None,
            code: CodeSection::new(),
            data: DataSection::new(),
            segments: Vec::new(),
            bodies: 0,
        }
    }

    fn copy(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        let shift = &mut self.shift;
        match payload {
            Payload::TypeSection(s) => shift.parse_type_section(&mut self.types, s),
            Payload::ImportSection(s) => shift.parse_import_section(&mut self.imports, s),
            Payload::FunctionSection(s) => shift.parse_function_section(&mut self.functions, s),
            Payload::TableSection(s) => shift.parse_table_section(&mut self.tables, s),
            Payload::MemorySection(s) => shift.parse_memory_section(&mut self.memories, s),
            Payload::GlobalSection(s) => shift.parse_global_section(&mut self.globals, s),
            Payload::ExportSection(s) => shift.parse_export_section(&mut self.exports, s),
            Payload::ElementSection(s) => shift.parse_element_section(&mut self.elements, s),
            Payload::DataCountSection { count, .. } => {
                self.data_count = Some(count);
                Ok(())
            }
            Payload::CodeSectionEntry(body) => return self.copy_body(&body),
            Payload::DataSection(section) => {
                for data in section {
                    self.copy_data(&data.map_err(invalid)?)?;
                }
                Ok(())
            }
            // The start section becomes an export; custom sections are for tools.
            _ => Ok(()),
        }
        .map_err(failed)
    }

    fn copy_body(&mut self, body: &wasmparser::FunctionBody<'_>) -> Result<(), Refusal> {
        let number = self.bodies;
        self.bodies += 1;
        #[expect(clippy::cast_possible_truncation, reason = "functions are capped far below 2^32")]
        let index = self.survey.imported + number as u32;
        let (Some(found), Some(ty)) =
            (self.survey.bodies.get(number), self.survey.function_type(index))
        else {
            return Err(Refusal::Unsupported("more bodies than functions".into()));
        };
        let block = if found.calls { self.block_type(ty.results())? } else { BlockType::Empty };
        let function =
            rewrite_body(&mut self.shift, self.added, *found, block, body).map_err(failed)?;
        self.code.function(&function);
        Ok(())
    }

    /// A block type without parameters. Adds a type to the module if there are several results.
    fn block_type(&mut self, results: &[wasmparser::ValType]) -> Result<BlockType, Refusal> {
        Ok(match results {
            [] => BlockType::Empty,
            [one] => BlockType::Result(self.shift.val_type(*one).map_err(failed)?),
            several => {
                if let Some(known) = self.blocks.get(several) {
                    return Ok(BlockType::FunctionType(*known));
                }
                let index = self.types.len();
                let results = several
                    .iter()
                    .map(|ty| self.shift.val_type(*ty))
                    .collect::<Result<Vec<_>, _>>()
                    .map_err(failed)?;
                self.types.ty().function([], results);
                self.blocks.insert(several.to_vec(), index);
                BlockType::FunctionType(index)
            }
        })
    }

    fn copy_data(&mut self, data: &wasmparser::Data<'_>) -> Result<(), Refusal> {
        match &data.kind {
            DataKind::Active { offset_expr, .. } => {
                let offset = constant(offset_expr)?;
                self.segments.push(Segment { offset, bytes: data.data.to_vec() });
                self.data.passive([]);
            }
            DataKind::Passive => {
                self.data.passive(data.data.iter().copied());
            }
        }
        Ok(())
    }

    fn finish(mut self) -> (Vec<u8>, Vec<Segment>) {
        let grow = self.types.len();
        self.types.ty().function([ValType::I32], [ValType::I32]);
        self.types.ty().function([], []);
        self.imports.import(HOST_MODULE, GROW, EntityType::Function(grow));
        self.imports.import(HOST_MODULE, TOO_DEEP, EntityType::Function(grow + 1));
        self.globals.global(
            GlobalType { val_type: ValType::I32, mutable: true, shared: false },
            &ConstExpr::i32_const(stack::STACK_BUDGET.cast_signed()),
        );
        self.exports.export(MEMORY, ExportKind::Memory, 0);
        let mutable =
            self.survey.mutable_globals.iter().enumerate().filter(|(_, mutable)| **mutable);
        for (number, (index, _)) in mutable.enumerate() {
            #[expect(
                clippy::cast_possible_truncation,
                reason = "globals are capped far below 2^32"
            )]
            let index = index as u32;
            self.exports.export(&global_name(number), ExportKind::Global, index);
        }
        if let Some(start) = self.survey.start {
            let start = if start < self.shift.imported { start } else { start + ADDED_FUNCTIONS };
            self.exports.export(START, ExportKind::Func, start);
        }

        let mut module = Module::new();
        module.section(&self.types).section(&self.imports).section(&self.functions);
        module.section(&self.tables).section(&self.memories).section(&self.globals);
        module.section(&self.exports).section(&self.elements);
        if let Some(count) = self.data_count {
            module.section(&DataCountSection { count });
        }
        module.section(&self.code).section(&self.data);
        (module.finish(), self.segments)
    }
}
