//! First pass over a module: validates it and gathers what rewriting needs to know.

use wasmparser::{
    CompositeInnerType, DataKind, ElementItems, ElementKind, ExternalKind, FuncType,
    FuncValidatorAllocations, Operator, Parser, Payload, TypeRef, ValType, ValidPayload, Validator,
};

use super::{
    Entry, Facts, HOST_MODULE, PREFIX, Phases, Refusal,
    body::{BodySurvey, survey_body},
    caps,
};
use crate::{engine::FEATURES, wasi};

/// Pages a 32-bit memory can have.
const MAX_PAGES: u64 = 65_536;

/// What the first pass found.
#[derive(Default)]
pub(super) struct Survey {
    /// Every type; the features leave only function types.
    pub(super) types: Vec<FuncType>,
    /// Type of every function, imported ones first.
    pub(super) functions: Vec<u32>,
    /// How many of them are imported.
    pub(super) imported: u32,
    /// What was found in the body of each function that is not imported.
    pub(super) bodies: Vec<BodySurvey>,
    /// Whether each global can change.
    pub(super) mutable_globals: Vec<bool>,
    /// The start function.
    pub(super) start: Option<u32>,
    /// Initial size of the memory in pages.
    memory_pages: Option<u32>,
    table_elements: Vec<u64>,
    functions_exported: Vec<(String, u32)>,
    branch_work: u64,
    loop_work: u64,
    elements: u64,
    keeps_references: bool,
}

pub(super) fn invalid(error: wasmparser::Error) -> Refusal {
    Refusal::Invalid(format!("{} (at byte {})", error.message(), error.offset()))
}

fn unsupported(what: impl Into<String>) -> Refusal {
    Refusal::Unsupported(what.into())
}

/// Validates `bytes` and collects facts about them.
pub(super) fn survey(bytes: &[u8]) -> Result<Survey, Refusal> {
    let mut validator = Validator::new_with_features(FEATURES);
    let mut parser = Parser::new(0);
    parser.set_features(FEATURES);
    let mut survey = Survey::default();
    let mut allocations = FuncValidatorAllocations::default();
    for payload in parser.parse_all(bytes) {
        let payload = payload.map_err(invalid)?;
        survey.bound(&payload)?;
        match validator.payload(&payload).map_err(invalid)? {
            ValidPayload::Func(function, body) => {
                let number = survey.bodies.len();
                let mut checker = function.into_validator(allocations);
                let found = survey_body(number, &mut checker, &body)?;
                allocations = checker.into_allocations();
                survey.branch_work = survey.branch_work.saturating_add(found.branch_work);
                let square = found.loop_work.saturating_mul(found.loop_work);
                survey.loop_work = survey.loop_work.saturating_add(square);
                survey.bodies.push(found);
            }
            ValidPayload::Parser(_) => return Err(unsupported("components are not supported")),
            ValidPayload::Ok | ValidPayload::End(_) => {}
        }
        survey.read(payload)?;
    }
    for (what, value, cap) in [
        (
            "entries of branch tables times their nesting",
            survey.branch_work,
            caps::PROGRAM_BRANCH_WORK,
        ),
        ("squares of loops times locals", survey.loop_work, caps::LOOP_WORK),
    ] {
        if value > cap {
            return Err(Refusal::Cap { what: what.into(), value, cap });
        }
    }
    Ok(survey)
}

impl Survey {
    /// Checks counts before the validator works through them.
    fn bound(&self, payload: &Payload<'_>) -> Result<(), Refusal> {
        let (what, count, cap) = match payload {
            Payload::TypeSection(s) => ("types", s.count(), caps::TYPES),
            Payload::ImportSection(s) => ("imports", s.count(), caps::IMPORTS),
            Payload::FunctionSection(s) => ("functions", s.count(), caps::FUNCTIONS),
            Payload::TableSection(s) => ("tables", s.count(), caps::TABLES),
            Payload::GlobalSection(s) => ("globals", s.count(), caps::GLOBALS),
            Payload::ExportSection(s) => ("exports", s.count(), caps::EXPORTS),
            Payload::ElementSection(s) => ("element segments", s.count(), caps::ELEMENT_SEGMENTS),
            Payload::DataSection(s) => ("data segments", s.count(), caps::DATA_SEGMENTS),
            Payload::CodeSectionStart { size, .. } => ("bytes of code", *size, caps::CODE_BYTES),
            _ => return Ok(()),
        };
        caps::check(what, count as usize, cap)
    }

    /// Collects facts from a part that the validator has accepted.
    fn read(&mut self, payload: Payload<'_>) -> Result<(), Refusal> {
        match payload {
            Payload::TypeSection(section) => {
                for group in section {
                    for ty in group.map_err(invalid)?.into_types() {
                        self.add_type(ty)?;
                    }
                }
            }
            Payload::ImportSection(section) => {
                for import in section.into_imports() {
                    self.add_import(import.map_err(invalid)?)?;
                }
            }
            Payload::FunctionSection(section) => {
                for ty in section {
                    self.functions.push(ty.map_err(invalid)?);
                }
            }
            Payload::TableSection(section) => {
                for table in section {
                    self.add_table(table.map_err(invalid)?)?;
                }
            }
            Payload::MemorySection(section) => {
                for memory in section {
                    let memory = memory.map_err(invalid)?;
                    self.memory_pages = u32::try_from(memory.initial.min(MAX_PAGES)).ok();
                }
            }
            Payload::GlobalSection(section) => {
                for global in section {
                    let ty = global.map_err(invalid)?.ty;
                    self.mutable_globals.push(ty.mutable);
                    self.keeps_references |=
                        ty.mutable && matches!(ty.content_type, ValType::Ref(_));
                }
            }
            Payload::ExportSection(section) => {
                for export in section {
                    self.add_export(&export.map_err(invalid)?)?;
                }
            }
            Payload::StartSection { func, .. } => self.start = Some(func),
            Payload::ElementSection(section) => {
                for element in section {
                    self.add_element(element.map_err(invalid)?)?;
                }
            }
            Payload::DataSection(section) => {
                for data in section {
                    self.add_data(&data.map_err(invalid)?)?;
                }
            }
            _ => {}
        }
        Ok(())
    }

    fn add_type(&mut self, ty: wasmparser::SubType) -> Result<(), Refusal> {
        let CompositeInnerType::Func(ty) = ty.composite_type.inner else {
            return Err(unsupported("only function types are supported"));
        };
        caps::check("parameters of a function", ty.params().len(), caps::PARAMS)?;
        caps::check("results of a function", ty.results().len(), caps::RESULTS)?;
        self.types.push(ty);
        Ok(())
    }

    fn add_import(&mut self, import: wasmparser::Import<'_>) -> Result<(), Refusal> {
        let refuse = |why: &str| Refusal::Import {
            module: import.module.into(),
            name: import.name.into(),
            why: why.into(),
        };
        let TypeRef::Func(ty) = import.ty else {
            return Err(refuse("only functions can be imported"));
        };
        if import.module == HOST_MODULE {
            return Err(refuse("which is reserved for the machine"));
        }
        if import.module != wasi::MODULE {
            return Err(refuse("which the machine does not offer"));
        }
        let offered = wasi::signature(import.name)
            .ok_or_else(|| refuse("which is not a function of WASI preview 1"))?;
        let wanted = self.types.get(ty as usize);
        if wanted.is_none_or(|wanted| !offered.matches(wanted)) {
            return Err(refuse("with another signature than WASI preview 1 has"));
        }
        self.functions.push(ty);
        self.imported += 1;
        Ok(())
    }

    fn add_table(&mut self, table: wasmparser::Table<'_>) -> Result<(), Refusal> {
        if !matches!(table.init, wasmparser::TableInit::RefNull) {
            return Err(unsupported("tables with an initial value are not supported"));
        }
        self.table_elements.push(table.ty.initial);
        let total = self.table_elements.iter().fold(0_u64, |sum, n| sum.saturating_add(*n));
        caps::check(
            "elements of tables",
            usize::try_from(total).unwrap_or(usize::MAX),
            caps::TABLE_ELEMENTS,
        )
    }

    fn add_export(&mut self, export: &wasmparser::Export<'_>) -> Result<(), Refusal> {
        if export.name.starts_with(PREFIX) {
            return Err(Refusal::Entry(format!(
                "it exports {:?}; names that start with {PREFIX:?} are reserved",
                export.name
            )));
        }
        if export.kind == ExternalKind::Func {
            self.functions_exported.push((export.name.into(), export.index));
        }
        Ok(())
    }

    fn add_element(&mut self, element: wasmparser::Element<'_>) -> Result<(), Refusal> {
        let count = match &element.items {
            ElementItems::Functions(items) => items.count(),
            ElementItems::Expressions(_, items) => items.count(),
        };
        self.elements = self.elements.saturating_add(u64::from(count));
        caps::check(
            "elements of element segments",
            usize::try_from(self.elements).unwrap_or(usize::MAX),
            caps::TABLE_ELEMENTS,
        )?;
        let ElementKind::Active { table_index, offset_expr } = element.kind else {
            return Ok(());
        };
        let size = self.table_elements.get(table_index.unwrap_or(0) as usize).copied();
        let end = u64::from(constant(&offset_expr)?) + u64::from(count);
        if size.is_none_or(|size| end > size) {
            return Err(unsupported("an element segment lies outside its table"));
        }
        Ok(())
    }

    fn add_data(&mut self, data: &wasmparser::Data<'_>) -> Result<(), Refusal> {
        let DataKind::Active { offset_expr, .. } = &data.kind else {
            return Ok(());
        };
        let end = u64::from(constant(offset_expr)?) + data.data.len() as u64;
        let size = u64::from(self.memory_pages.unwrap_or(0)) << 16;
        if end > size {
            return Err(unsupported("a data segment lies outside the initial memory"));
        }
        Ok(())
    }

    /// The type of a function, imported or not.
    pub(super) fn function_type(&self, index: u32) -> Option<&FuncType> {
        self.types.get(*self.functions.get(index as usize)? as usize)
    }

    /// Whether a function of this name is exported; refused if its type is another.
    fn exports(&self, name: &str, params: &[ValType]) -> Result<bool, Refusal> {
        let Some((_, index)) = self.functions_exported.iter().find(|(export, _)| export == name)
        else {
            return Ok(false);
        };
        let fits = self
            .function_type(*index)
            .is_some_and(|ty| ty.params() == params && ty.results().is_empty());
        if !fits {
            let wanted = if params.is_empty() { "no parameters" } else { "one i32 parameter" };
            return Err(Refusal::Entry(format!(
                "its export {name} must have {wanted} and no results"
            )));
        }
        Ok(true)
    }

    /// What the machine must know to run the program.
    pub(super) fn facts(&self) -> Result<Facts, Refusal> {
        let command = self.exports("_start", &[])?;
        let reactor = self.exports("task", &[ValType::I32])?;
        let phases = Phases {
            start: self.start.is_some(),
            initialize: self.exports("_initialize", &[])?,
            prepare: self.exports("prepare", &[])?,
        };
        let entry = match (command, reactor) {
            (true, false) => Entry::Command,
            (false, true) => Entry::Reactor,
            (true, true) => return Err(Refusal::Entry("it exports both _start and task".into())),
            (false, false) => {
                return Err(Refusal::Entry("it exports neither _start nor task".into()));
            }
        };
        if entry == Entry::Command && (phases.prepare || phases.initialize) {
            return Err(Refusal::Entry(
                "it exports _start together with prepare or _initialize, which need task".into(),
            ));
        }
        let memory_pages = self.memory_pages.ok_or_else(|| unsupported("it defines no memory"))?;
        let globals = self.mutable_globals.iter().filter(|mutable| **mutable).count();
        let changes_tables =
            self.keeps_references || self.bodies.iter().any(|body| body.changes_tables);
        let elements = self.table_elements.iter().sum::<u64>() + self.elements;
        #[expect(clippy::cast_possible_truncation, reason = "both are capped far below 2^32")]
        let (table_elements, globals) = (elements as u32, globals as u32);
        Ok(Facts { entry, phases, memory_pages, table_elements, globals, changes_tables })
    }
}

/// The value of an `i32.const` expression.
pub(super) fn constant(expression: &wasmparser::ConstExpr<'_>) -> Result<u32, Refusal> {
    let mut operators = expression.get_operators_reader();
    match (operators.read().map_err(invalid)?, operators.is_end_then_eof()) {
        (Operator::I32Const { value }, true) => Ok(value.cast_unsigned()),
        _ => Err(unsupported("offsets of segments must be i32.const")),
    }
}
