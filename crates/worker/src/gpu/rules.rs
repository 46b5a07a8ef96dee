//! What exact programs may not do: whatever WGSL or Vulkan leave to the device.

use naga::{
    BinaryOperator, Expression, Handle, MathFunction as Fun, Module, ScalarKind, TypeInner,
    valid::{FunctionInfo, ModuleInfo},
};
use tilth_protocol::{Problem, gpu::Shader};

use super::translate::refusal;

/// Built-in functions that are refused by name already, because the compiler computes them itself where
/// their arguments are constants, with the functions of whatever machine it runs on.
const NAMES: &[&str] = &[
    "acos",
    "acosh",
    "asin",
    "asinh",
    "atan",
    "atan2",
    "atanh",
    "cos",
    "cosh",
    "degrees",
    "exp",
    "exp2",
    "fma",
    "inverseSqrt",
    "ldexp",
    "log",
    "log2",
    "pow",
    "radians",
    "sin",
    "sinh",
    "tan",
    "tanh",
];

/// First letters of the names of our own functions.
const OWN: &str = "tilth_";

/// Refuses names that exact programs must not use, before anything is computed from them.
pub(super) fn check_names(shader: &Shader) -> Result<(), Problem> {
    let source = without_comments(&shader.source);
    let is_part = |c: char| c.is_alphanumeric() || c == '_';
    let mut rest = source.as_str();
    while let Some(start) = rest.find(is_part) {
        let word = &rest[start..];
        let end = word.find(|c| !is_part(c)).unwrap_or(word.len());
        let (word, behind) = word.split_at(end);
        if NAMES.contains(&word) {
            return Err(refusal(
                shader,
                format!(
                    "`{word}` is left to the device: call tilth_{word} if there is one, and name \
                     functions of your own otherwise"
                ),
            ));
        }
        // A definition of ours would be a second one anyway; this says it better.
        if word == "fn" && behind.trim_start().starts_with(OWN) {
            return Err(refusal(shader, "names of functions must not begin with tilth_"));
        }
        rest = behind;
    }
    Ok(())
}

/// The text with comments blanked. Block comments nest.
fn without_comments(source: &str) -> String {
    let mut out = String::with_capacity(source.len());
    let (mut depth, mut line) = (0_u32, false);
    let mut chars = source.chars().peekable();
    while let Some(c) = chars.next() {
        match (c, chars.peek()) {
            // All that ends a line for WGSL: what we take for a comment must be one for the compiler, too.
            ('\n'..='\r' | '\u{85}' | '\u{2028}' | '\u{2029}', _) => {
                line = false;
                out.push('\n');
            }
            ('/', Some('/')) if depth == 0 => line = true,
            ('/', Some('*')) if !line => {
                chars.next();
                depth = depth.saturating_add(1);
                out.push(' ');
            }
            ('*', Some('/')) if !line && depth > 0 => {
                chars.next();
                depth -= 1;
            }
            _ if depth == 0 && !line => out.push(c),
            _ => {}
        }
    }
    out
}

/// Refuses operations whose result the device may choose.
pub(super) fn check(shader: &Shader, module: &Module, info: &ModuleInfo) -> Result<(), Problem> {
    for (_, ty) in module.types.iter() {
        let what = match ty.inner {
            TypeInner::Atomic(_) => "atomics, whose order nobody knows",
            TypeInner::Matrix { .. } => "matrices, whose sums have no stated order",
            _ => continue,
        };
        return Err(refusal(shader, format!("exact programs have no {what}")));
    }
    let functions = module.functions.iter().map(|(handle, function)| (function, &info[handle]));
    let entries = module.entry_points.iter().enumerate();
    let entries = entries.map(|(at, entry)| (&entry.function, info.get_entry_point(at)));
    for (function, info) in functions.chain(entries) {
        let name = function.name.as_deref().unwrap_or("main");
        for (_, expression) in function.expressions.iter() {
            if let Some(what) = left_to_device(expression, module, info) {
                return Err(refusal(shader, format!("function {name}: {what}")));
            }
        }
    }
    Ok(())
}

/// What of an expression is left to the device, if anything.
fn left_to_device(
    expression: &Expression,
    module: &Module,
    info: &FunctionInfo,
) -> Option<&'static str> {
    let is_float = |handle: Handle<Expression>| {
        let kind = info[handle].ty.inner_with(&module.types).scalar_kind();
        kind == Some(ScalarKind::Float)
    };
    match expression {
        Expression::Math { fun, arg, .. } if is_float(*arg) => match fun {
            Fun::Abs | Fun::Floor | Fun::Ceil | Fun::Trunc | Fun::Sqrt => None,
            Fun::Min | Fun::Max | Fun::Clamp | Fun::Saturate => {
                Some("min, max, clamp and saturate of floats (of zeros, of NaN): use select")
            }
            Fun::Fma => Some("fma, which may or may not be fused"),
            Fun::Dot | Fun::Cross | Fun::Length | Fun::Distance | Fun::Normalize => {
                Some("dot, cross, length, distance and normalize of floats: write the sums out")
            }
            _ => Some("a built-in function of floats other than abs, floor, ceil, trunc and sqrt"),
        },
        Expression::Math {
            fun:
                Fun::Unpack4x8snorm
                | Fun::Unpack4x8unorm
                | Fun::Unpack2x16snorm
                | Fun::Unpack2x16unorm
                | Fun::Unpack2x16float,
            ..
        } => Some("unpacking to floats"),
        Expression::Binary { op: BinaryOperator::Modulo, left, .. } if is_float(*left) => {
            Some("% of floats")
        }
        Expression::Derivative { .. }
        | Expression::ImageSample { .. }
        | Expression::ImageLoad { .. }
        | Expression::SubgroupBallotResult
        | Expression::SubgroupOperationResult { .. } => {
            Some("something else than numbers in buffers")
        }
        _ => None,
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    fn shader(source: &str) -> Shader {
        Shader { name: "s".into(), source: source.into() }
    }

    #[test]
    fn names_are_found_outside_comments_only() {
        for fine in
            ["", "// sin(x)\nlet sine = 1;", "/* a /* cos */ exp */ tilth_exp(x)", "xexp(1)"]
        {
            check_names(&shader(fine)).unwrap();
        }
        for refused in [
            "sin(1.0)",
            "/* */exp2 (x)",
            "a/fma(b,c,d)",
            "// x\npow(2, 3)",
            "fn tilth_x()",
            "// x\rsin(1.0)",
            "// x\u{2028}cos(1.0)",
            "// x\u{85}exp(1.0)",
            "// x\u{b}log(1.0)",
        ] {
            check_names(&shader(refused)).unwrap_err();
        }
    }
}
