//! Options of a role, declared once: the value the code uses, its default, what the configuration
//! file calls it, and the reference page all come from one declaration.
//!
//! ```
//! tilth_service::options! {
//!     /// How the oven works.
//!     #[derive(Clone, Debug)]
//!     pub struct Oven {
//!         /// Loaves at the same time.
//!         pub loaves_max: usize = 4,
//!         /// How long one bakes.
//!         pub bake: std::time::Duration = std::time::Duration::from_secs(2400),
//!     }
//! }
//! use tilth_service::options::{read, Setting as _};
//!
//! let mut oven = Oven::default();
//! read(&mut oven, "loaves-max = 6\nbake = \"35m\"").unwrap();
//! assert_eq!((oven.loaves_max, oven.bake.as_secs()), (6, 2100));
//! let error = read(&mut oven, "loafs-max = 6").unwrap_err();
//! assert_eq!(error.to_string(), "there is no option `loafs-max`; did you mean `loaves-max`?");
//! ```
//!
//! In a file an option is called like its field, with `-` for `_`. Whole numbers of fields with
//! `bytes` in their name may be written `"16MiB"`, times are written `"250ms"`, `"1h30m"`.

use std::{
    fmt::Write as _,
    net::SocketAddr,
    path::{Path, PathBuf},
    time::Duration,
};

use toml::Value;

use crate::{ByteSize, ConfigError, LogFormat, TimeSpan};

/// Why options were refused. The texts name the option.
#[derive(Clone, Debug, PartialEq, Eq, thiserror::Error)]
pub enum OptionError {
    /// No option has this name.
    #[error("there is no option `{key}`{}", suggestion.as_ref().map_or(String::new(), |near| format!("; did you mean `{near}`?")))]
    Unknown {
        /// What was written.
        key: String,
        /// An option with almost this name.
        suggestion: Option<String>,
    },
    /// The value is not one this option can have.
    #[error("`{key}` cannot be {found}: {expected}")]
    Value {
        /// The option.
        key: String,
        /// What was written.
        found: String,
        /// What can be written.
        expected: String,
    },
    /// The text is not TOML.
    #[error("{0}")]
    Syntax(String),
}

impl OptionError {
    fn value(key: &str, found: &Value, expected: impl Into<String>) -> Self {
        Self::Value { key: key.to_owned(), found: found.to_string(), expected: expected.into() }
    }
}

/// One option, or the start of a group of them, as a reference shows it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub struct Row {
    /// With its groups: `limits.pool.slots-max`.
    pub key: String,
    /// What it is for.
    pub doc: String,
    /// Its value in TOML; `None` for a group, and for an option that is not set.
    pub value: Option<String>,
    /// What can be written.
    pub kind: &'static str,
    /// Whether this is a group.
    pub is_group: bool,
}

/// Something an option can be.
pub trait Setting {
    /// Takes over what a configuration says.
    ///
    /// # Errors
    /// The value, or a name inside it, is not possible.
    fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError>;

    /// Appends itself to a reference.
    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>);
}

/// Reads a TOML text over what is set already.
///
/// # Errors
/// The text is not TOML, or names an option that does not exist, or gives it an impossible value.
pub fn read(options: &mut impl Setting, text: &str) -> Result<(), OptionError> {
    let table: toml::Table =
        text.parse().map_err(|e: toml::de::Error| OptionError::Syntax(e.to_string()))?;
    options.read("", Value::Table(table))
}

/// Reads a TOML file of at most [`crate::config::MAX_CONFIG_BYTES`] over what is set already.
///
/// # Errors
/// The file cannot be read, or [`read`] refuses it.
pub fn load(options: &mut impl Setting, path: &Path) -> Result<(), LoadError> {
    let text = crate::config::read_text(path)?;
    read(options, &text).map_err(|source| LoadError::Options { path: path.into(), source })
}

/// Sets one option by its full name, `limits.pool.slots-max`, as an environment variable or a flag
/// does: what is written is a TOML value, or else a text without quotes.
///
/// # Errors
/// There is no such option, or it cannot have this value.
pub fn set(options: &mut impl Setting, key: &str, text: &str) -> Result<(), OptionError> {
    let as_toml = format!("x = {text}").parse::<toml::Table>().ok();
    let value = as_toml.filter(|table| table.len() == 1).and_then(|mut table| table.remove("x"));
    let plain = Value::String(text.to_owned());
    let nested = |value: Value| {
        key.rsplit('.').fold(value, |inner, name| {
            Value::Table(toml::Table::from_iter([(name.to_owned(), inner)]))
        })
    };
    match value {
        Some(value) => {
            let refused = options.read("", nested(value));
            refused.or_else(|first| options.read("", nested(plain)).map_err(|_| first))
        }
        None => options.read("", nested(plain)),
    }
}

/// Why a configuration file was refused.
#[derive(Debug, thiserror::Error)]
pub enum LoadError {
    /// The file itself.
    #[error(transparent)]
    File(#[from] ConfigError),
    /// What it says.
    #[error("{} is not valid", path.display())]
    Options {
        /// The file.
        path: PathBuf,
        /// The option and what is wrong with it.
        #[source]
        source: OptionError,
    },
}

/// All options with their present values.
pub fn rows(options: &impl Setting) -> Vec<Row> {
    let mut rows = Vec::new();
    options.describe("", "", &mut rows);
    rows
}

/// The name of the environment variable for an option: `PREFIX_LIMITS_POOL_SLOTS_MAX`.
#[must_use]
pub fn variable(prefix: &str, key: &str) -> String {
    format!("{prefix}_{}", key.replace(['.', '-'], "_").to_uppercase())
}

/// A configuration file with every option at its present value, explained.
pub fn file(options: &impl Setting) -> String {
    let mut text = String::new();
    for row in rows(options) {
        for line in row.doc.lines() {
            // Writing to a string cannot fail.
            let _ = writeln!(text, "#{}{line}", if line.is_empty() { "" } else { " " });
        }
        let name = row.key.rsplit('.').next().unwrap_or_default();
        let _ = match (row.is_group, row.value) {
            (true, _) => writeln!(text, "[{}]\n", row.key),
            (false, Some(value)) => writeln!(text, "{name} = {value}\n"),
            (false, None) => writeln!(text, "# {name} = {}\n", row.kind),
        };
    }
    text.truncate(text.trim_end().len());
    text.push('\n');
    text
}

/// Name of a field in a configuration.
#[doc(hidden)]
#[must_use]
pub fn name_of(field: &str) -> String {
    field.replace('_', "-")
}

#[doc(hidden)]
#[must_use]
pub fn join(group: &str, name: &str) -> String {
    if group.is_empty() { name.to_owned() } else { format!("{group}.{name}") }
}

/// Lines of a documentation comment without the space each begins with.
#[doc(hidden)]
#[must_use]
pub fn doc_of(lines: &[&str]) -> String {
    let lines: Vec<&str> =
        lines.iter().map(|line| line.strip_prefix(' ').unwrap_or(line)).collect();
    lines.join("\n")
}

#[doc(hidden)]
#[must_use]
pub fn unknown(group: &str, name: &str, known: &[String]) -> OptionError {
    let near = known.iter().map(|other| (distance(name, other), other)).min();
    let suggestion = near.filter(|(distance, _)| *distance <= 1 + name.len() / 3);
    OptionError::Unknown {
        key: join(group, name),
        suggestion: suggestion.map(|(_, near)| join(group, near)),
    }
}

#[doc(hidden)]
#[must_use]
pub fn not_a_group(key: &str, found: &Value) -> OptionError {
    OptionError::value(key, found, "it is a group of options")
}

/// Insertions, removals and changes of characters between two words.
fn distance(a: &str, b: &str) -> usize {
    let b: Vec<char> = b.chars().collect();
    let mut row: Vec<usize> = (0..=b.len()).collect();
    for (i, left) in a.chars().enumerate() {
        let mut diagonal = i;
        row[0] = i + 1;
        for (j, right) in b.iter().enumerate() {
            let changed = diagonal + usize::from(left != *right);
            diagonal = row[j + 1];
            row[j + 1] = changed.min(row[j] + 1).min(diagonal + 1);
        }
    }
    row[b.len()]
}

/// Declares a struct of options. See the [module](crate::options).
#[macro_export]
macro_rules! options {
    (
        $(#[$meta:meta])*
        $vis:vis struct $name:ident {
            $(
                $(#[doc = $doc:literal])+
                $field_vis:vis $field:ident: $type:ty = $default:expr
            ),* $(,)?
        }
    ) => {
        $(#[$meta])*
        $vis struct $name {
            $( $(#[doc = $doc])+ $field_vis $field: $type, )*
        }

        impl Default for $name {
            fn default() -> Self {
                Self { $( $field: $default, )* }
            }
        }

        impl $crate::options::Setting for $name {
            fn read(
                &mut self,
                key: &str,
                value: $crate::options::TomlValue,
            ) -> Result<(), $crate::options::OptionError> {
                let $crate::options::TomlValue::Table(table) = value else {
                    return Err($crate::options::not_a_group(key, &value));
                };
                for (name, value) in table {
                    $(
                        if name == $crate::options::name_of(stringify!($field)) {
                            let key = $crate::options::join(key, &name);
                            $crate::options::Setting::read(&mut self.$field, &key, value)?;
                            continue;
                        }
                    )*
                    let known = [$( $crate::options::name_of(stringify!($field)), )*];
                    return Err($crate::options::unknown(key, &name, &known));
                }
                Ok(())
            }

            fn describe(&self, key: &str, doc: &str, rows: &mut Vec<$crate::options::Row>) {
                if !key.is_empty() {
                    rows.push($crate::options::Row {
                        key: key.to_owned(),
                        doc: doc.to_owned(),
                        value: None,
                        kind: "group",
                        is_group: true,
                    });
                }
                // A group's own options come before the groups inside it, as TOML wants it.
                let mut groups = Vec::new();
                $({
                    let mut found = Vec::new();
                    let name = $crate::options::name_of(stringify!($field));
                    let doc = $crate::options::doc_of(&[$( $doc, )+]);
                    let key = $crate::options::join(key, &name);
                    $crate::options::Setting::describe(&self.$field, &key, &doc, &mut found);
                    if found.first().is_some_and(|row| row.is_group) {
                        groups.append(&mut found);
                    } else {
                        rows.append(&mut found);
                    }
                })*
                rows.append(&mut groups);
            }
        }
    };
}

pub use toml::Value as TomlValue;

fn row(key: &str, doc: &str, kind: &'static str, value: Option<Value>) -> Row {
    let value = value.map(|value| value.to_string());
    Row { key: key.to_owned(), doc: doc.to_owned(), value, kind, is_group: false }
}

/// Types that are written as a string and know how to read it.
macro_rules! written {
    ($($type:ty: $kind:literal),* $(,)?) => { $(
        impl Setting for $type {
            fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError> {
                let text = value.as_str().ok_or_else(|| OptionError::value(key, &value, $kind))?;
                *self = text.parse().map_err(|error| {
                    OptionError::value(key, &value, format!("{} ({error})", $kind))
                })?;
                Ok(())
            }

            fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
                rows.push(row(key, doc, $kind, Some(Value::String(self.to_string()))));
            }
        }

        impl Setting for Option<$type> {
            fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError> {
                let text = value.as_str().ok_or_else(|| OptionError::value(key, &value, $kind))?;
                if text.is_empty() {
                    *self = None;
                    return Ok(());
                }
                *self = Some(text.parse().map_err(|error| {
                    OptionError::value(key, &value, format!("{} ({error})", $kind))
                })?);
                Ok(())
            }

            fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
                let value = self.as_ref().map(|value| Value::String(value.to_string()));
                rows.push(row(key, doc, $kind, value));
            }
        }
    )* };
}

written! {
    String: "a text",
    SocketAddr: "an address with port, such as 127.0.0.1:8545",
    LogFormat: "text or json",
    ByteSize: "a size, such as 16MiB",
    TimeSpan: "a time, such as 250ms or 1h30m",
}

/// Whole numbers. Fields with `bytes` in their name may be written with a unit.
macro_rules! numbers {
    ($($type:ty),*) => { $(
        impl Setting for $type {
            fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError> {
                let is_bytes = key.contains("bytes");
                let kind = number_kind(key);
                let number = match &value {
                    Value::Integer(number) => Self::try_from(*number).ok(),
                    Value::String(text) if is_bytes => {
                        let size = text.parse::<ByteSize>().ok();
                        size.and_then(|size| Self::try_from(size.bytes()).ok())
                    }
                    Value::String(text) => text.replace('_', "").parse().ok(),
                    _ => None,
                };
                let out_of_range = || {
                    OptionError::value(key, &value, format!("{kind}, at most {}", Self::MAX))
                };
                *self = number.ok_or_else(out_of_range)?;
                Ok(())
            }

            fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
                let value = match (i64::try_from(*self), u64::try_from(*self)) {
                    (_, Ok(bytes)) if key.contains("bytes") && bytes >= 1024 => {
                        Value::String(ByteSize::from_bytes(bytes).to_string())
                    }
                    (Ok(number), _) => Value::Integer(number),
                    _ => Value::String(self.to_string()),
                };
                rows.push(row(key, doc, number_kind(key), Some(value)));
            }
        }
    )* };
}

fn number_kind(key: &str) -> &'static str {
    if key.contains("bytes") { "a size, such as 65536 or \"16MiB\"" } else { "a whole number" }
}

numbers!(u16, u32, u64, u128, usize);

impl Setting for bool {
    fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError> {
        *self = value.as_bool().ok_or_else(|| OptionError::value(key, &value, "true or false"))?;
        Ok(())
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        rows.push(row(key, doc, "true or false", Some(Value::Boolean(*self))));
    }
}

impl Setting for Duration {
    fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError> {
        let mut span = TimeSpan::default();
        span.read(key, value)?;
        *self = span.into();
        Ok(())
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        let millis = u64::try_from(self.as_millis()).unwrap_or(u64::MAX);
        TimeSpan::from_millis(millis).describe(key, doc, rows);
    }
}

impl Setting for Option<PathBuf> {
    fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError> {
        let text = value.as_str().ok_or_else(|| OptionError::value(key, &value, "a path"))?;
        *self = (!text.is_empty()).then(|| text.into());
        Ok(())
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        let text = self.as_ref().map(|path| Value::String(path.display().to_string()));
        rows.push(row(key, doc, "a path", text));
    }
}

impl Setting for Vec<String> {
    fn read(&mut self, key: &str, value: Value) -> Result<(), OptionError> {
        let texts = match &value {
            Value::Array(items) => items.iter().map(|i| i.as_str().map(str::to_owned)).collect(),
            // In an environment variable or flag.
            Value::String(text) => Some(
                text.split(',').map(|t| t.trim().to_owned()).filter(|t| !t.is_empty()).collect(),
            ),
            _ => None,
        };
        *self = texts.ok_or_else(|| OptionError::value(key, &value, "a list of texts"))?;
        Ok(())
    }

    fn describe(&self, key: &str, doc: &str, rows: &mut Vec<Row>) {
        let items = self.iter().map(|text| Value::String(text.clone())).collect();
        rows.push(row(key, doc, "a list of texts", Some(Value::Array(items))));
    }
}

#[cfg(test)]
mod tests {
    use super::*;

    options! {
        /// Inner ones.
        #[derive(Clone, Debug, PartialEq)]
        struct Inner {
            /// Bytes of a thing.
            ///
            /// Twice.
            thing_bytes_max: usize = 16 << 20,
            /// How long.
            wait: Duration = Duration::from_millis(1500),
        }
    }

    options! {
        /// Outer ones.
        #[derive(Clone, Debug, PartialEq)]
        struct Outer {
            /// The inner ones.
            inner: Inner = Inner::default(),
            /// Where.
            listen: Option<SocketAddr> = None,
            /// Who.
            names: Vec<String> = vec!["a".to_owned()],
            /// Whether.
            loud: bool = false,
            /// How many.
            count: u32 = 7,
        }
    }

    #[test]
    fn the_default_file_reads_back_and_explains_itself() {
        let text = file(&Outer::default());
        let expected = "# Where.\n\
            # listen = an address with port, such as 127.0.0.1:8545\n\n\
            # Who.\nnames = [\"a\"]\n\n# Whether.\nloud = false\n\n# How many.\ncount = 7\n\n\
            # The inner ones.\n[inner]\n\n\
            # Bytes of a thing.\n#\n# Twice.\nthing-bytes-max = \"16MiB\"\n\n\
            # How long.\nwait = \"1s500ms\"\n";
        assert_eq!(text, expected);
        let mut outer = Outer { count: 0, loud: true, ..Outer::default() };
        outer.inner.wait = Duration::ZERO;
        read(&mut outer, &text).unwrap();
        assert_eq!(outer, Outer::default());
    }

    #[test]
    fn what_is_wrong_is_named() {
        let said = |text: &str| read(&mut Outer::default(), text).unwrap_err().to_string();
        let unknown = "there is no option `inner.thing-byte-max`; did you mean \
                       `inner.thing-bytes-max`?";
        assert_eq!(said("[inner]\nthing-byte-max = 1"), unknown);
        assert_eq!(said("zebra = 1"), "there is no option `zebra`");
        assert_eq!(said("count = -1"), "`count` cannot be -1: a whole number, at most 4294967295");
        assert_eq!(
            said("count = \"x\""),
            "`count` cannot be \"x\": a whole number, at most 4294967295"
        );
        assert_eq!(said("inner = 3"), "`inner` cannot be 3: it is a group of options");
        assert_eq!(said("loud = 1"), "`loud` cannot be 1: true or false");
        assert!(said("listen = \"here\"").starts_with("`listen` cannot be \"here\": an address"));
        assert!(said("[inner]\nwait = \"often\"").contains("`inner.wait`"));
        assert!(said("count = ").contains("line 1"));
    }

    #[test]
    fn single_options_are_set_by_their_name() {
        let mut outer = Outer::default();
        let changes = [
            ("listen", "127.0.0.1:1"),
            ("names", "x, y"),
            ("loud", "true"),
            ("count", "9"),
            ("inner.wait", "3s"),
            ("inner.thing-bytes-max", "2KiB"),
        ];
        for (key, text) in changes {
            set(&mut outer, key, text).unwrap();
        }
        assert_eq!(outer.names, ["x", "y"]);
        assert_eq!((outer.loud, outer.count, outer.inner.thing_bytes_max), (true, 9, 2048));
        assert_eq!(outer.inner.wait, Duration::from_secs(3));
        set(&mut outer, "listen", "").unwrap();
        assert_eq!(outer.listen, None);
        let said = |key: &str| set(&mut Outer::default(), key, "1").unwrap_err().to_string();
        assert_eq!(said("inner.wai"), "there is no option `inner.wai`; did you mean `inner.wait`?");
        assert_eq!(said("cuont"), "there is no option `cuont`; did you mean `count`?");
        assert!(said("inner.wait").contains("`inner.wait` cannot be"));
        assert_eq!(
            variable("TILTH_NODE", "inner.thing-bytes-max"),
            "TILTH_NODE_INNER_THING_BYTES_MAX"
        );
    }
}
