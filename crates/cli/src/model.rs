//! `tilth model`: the language models of a folder.

use std::process::ExitCode;

use serde::Serialize;
use tilth_protocol::{Harmless, Problem};
use tilth_tensor::shelf::{Entry, Shelf};

use crate::args::{Common, Model};
use crate::table::{Align, Table};
use crate::{Ended, print_json};

/// A model, as it is shown.
#[derive(Debug, Serialize)]
struct Shown {
    id: String,
    name: String,
    bytes: u64,
    layers: usize,
    width: usize,
    vocabulary: usize,
    context: usize,
    file: String,
}

impl From<Entry> for Shown {
    fn from(entry: Entry) -> Self {
        let a = &entry.header.architecture;
        Self {
            id: entry.id.to_string(),
            name: entry.header.name.clone(),
            bytes: entry.size,
            layers: a.layers.len(),
            width: a.width,
            vocabulary: a.vocabulary,
            context: a.context,
            file: entry.path.display().to_string(),
        }
    }
}

fn problem(error: tilth_tensor::Error) -> Problem {
    Problem::new(error.what, error.detail, error.advice)
}

/// Runs a command on the models in the folder `models` of the network's folder.
pub fn model(common: &Common, command: &Model) -> Ended {
    let shelf = Shelf::new(common.dir().join("models"));
    let found = match command {
        Model::Ls => return list(common, &shelf),
        Model::Import { from } => shelf.import(from),
        Model::Show { model } => shelf.find(model),
        Model::Rm { model } => shelf.remove(model),
    };
    let shown = Shown::from(found.map_err(problem)?);
    if common.json {
        print_json(&shown)?;
    } else if matches!(command, Model::Rm { .. }) {
        println!("{} ({}) is gone", Harmless(&shown.name), shown.id);
    } else {
        println!("{}", Harmless(&shown.name));
        println!("  id          {}", shown.id);
        println!("  bytes       {}", shown.bytes);
        println!("  layers      {} of width {}", shown.layers, shown.width);
        println!("  vocabulary  {}", shown.vocabulary);
        println!("  context     {}", shown.context);
        println!("  file        {}", Harmless(&shown.file));
    }
    Ok(ExitCode::SUCCESS)
}

fn list(common: &Common, shelf: &Shelf) -> Ended {
    let all: Vec<Shown> = shelf.list().map_err(problem)?.into_iter().map(Shown::from).collect();
    if common.json {
        print_json(&all)?;
        return Ok(ExitCode::SUCCESS);
    }
    let mut table = Table::new(&[
        ("name", Align::Left),
        ("id", Align::Left),
        ("bytes", Align::Right),
        ("context", Align::Right),
    ]);
    for shown in all {
        let id = shown.id.chars().take(16).collect();
        table.row([
            Harmless(&shown.name).to_string(),
            id,
            shown.bytes.to_string(),
            shown.context.to_string(),
        ]);
    }
    print!("{}", table.render());
    Ok(ExitCode::SUCCESS)
}
