//! How a command's options are put together: the defaults, then a file, then variables, then `--set`; and the page
//! that describes them. One mechanism for all that have options.

use std::path::Path;

use tilth_protocol::Problem;
use tilth_service::options::{self, LoadError, OptionError, Row, Setting};

/// Whose options they are, in words for people.
#[derive(Clone, Copy, Debug)]
pub struct Subject {
    /// What is not valid when an option is refused, such as `the node's configuration`.
    pub what: &'static str,
    /// Where every option is described.
    pub described: &'static str,
    /// An assignment as `--set` takes it.
    pub example: &'static str,
    /// First part of the names of environment variables.
    pub prefix: &'static str,
    /// The variable that names the file, which is not an option.
    pub file_variable: &'static str,
}

impl Subject {
    /// The defaults, then the file that is `given`, else the `usual` one if it is there, then the environment, then `set`, what
    /// was given with `--set`.
    ///
    /// # Errors
    /// The file cannot be read, or something in these places is not an option or not possible.
    pub fn gather<C: Setting + Default>(
        &self,
        given: Option<&Path>,
        usual: Option<&Path>,
        set: &[String],
    ) -> Result<C, Problem> {
        let mut config = C::default();
        if let Some(path) = given.or(usual.filter(|usual| usual.exists())) {
            self.load(&mut config, path)?;
        }
        self.set(&mut config, set)?;
        Ok(config)
    }

    /// Reads a file over what is set already.
    ///
    /// # Errors
    /// It cannot be read, or says something impossible.
    pub fn load(&self, config: &mut impl Setting, path: &Path) -> Result<(), Problem> {
        options::load(config, path).map_err(|error| match &error {
            LoadError::File(error) => {
                Problem::new(error.to_string(), error.detail(), error.advice())
            }
            LoadError::Options { path, source } => {
                self.refused(&path.display().to_string(), source)
            }
        })
    }

    /// Sets what the environment says, then what was given with `--set`.
    ///
    /// # Errors
    /// Something there is not an option or not possible.
    pub fn set(&self, config: &mut impl Setting, given: &[String]) -> Result<(), Problem> {
        for row in options::rows(config).into_iter().filter(|row| !row.is_group) {
            let variable = options::variable(self.prefix, &row.key);
            if let Some(text) = std::env::var_os(&variable) {
                options::set(config, &row.key, &text.to_string_lossy())
                    .map_err(|error| self.refused(&format!("variable {variable}"), &error))?;
            }
        }
        for change in given {
            let Some((key, text)) = change.split_once('=') else {
                return Err(Problem::new(
                    "an option is set by its name and a value",
                    format!("--set {change}"),
                    format!("write it like --set {}", self.example),
                ));
            };
            options::set(config, key.trim(), text.trim())
                .map_err(|error| self.refused("flag --set", &error))?;
        }
        Ok(())
    }

    /// An option that was refused, for people.
    pub fn refused(&self, place: &str, error: &OptionError) -> Problem {
        let advice = match error {
            OptionError::Unknown { .. } | OptionError::Value { .. } => {
                format!("correct it; {} every option with its default and meaning", self.described)
            }
            OptionError::Syntax(_) => "correct the line shown; the file is TOML".to_owned(),
        };
        Problem::new(
            format!("{} is not valid ({place})", self.what),
            error.to_string().trim_end().replace('\n', "\n          "),
            advice,
        )
    }

    /// Environment variables that look like options and are none, sorted.
    pub fn stray_variables(&self, rows: &[Row]) -> Vec<String> {
        let known: Vec<_> =
            rows.iter().map(|row| options::variable(self.prefix, &row.key)).collect();
        let begins = format!("{}_", self.prefix);
        let named = std::env::vars_os().filter_map(|(name, _)| name.into_string().ok());
        let mut stray: Vec<String> = named
            .filter(|name| name.starts_with(&begins))
            .filter(|name| name != self.file_variable && !known.contains(name))
            .collect();
        stray.sort();
        stray
    }
}

/// Adds the tables of a reference page (Markdown).
pub fn page(text: &mut String, rows: Vec<Row>) {
    let mut table_is_open = false;
    for row in rows {
        if row.is_group {
            text.push_str(&format!("\n## [{}]\n\n{}\n", row.key, row.doc));
            table_is_open = false;
            continue;
        }
        if !table_is_open {
            text.push_str("\n| option | default | meaning |\n|---|---|---|\n");
            table_is_open = true;
        }
        let name = row.key.rsplit('.').next().unwrap_or_default();
        let default = row.value.map_or("none".to_owned(), |value| format!("`{value}`"));
        let doc = row.doc.replace("\n\n", "<br>").replace('\n', " ").replace('|', "\\|");
        text.push_str(&format!("| `{name}` | {default} | {doc} Takes {}. |\n", row.kind));
    }
}
