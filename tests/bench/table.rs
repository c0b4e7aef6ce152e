//! What all benchmarks come to, in one table at the end.

use std::{
    io::{self, Write},
    sync::{Mutex, PoisonError},
};

pub struct Row {
    pub what: String,
    pub ours: String,
    pub theirs: String,
    pub ratio: Option<f64>,
    pub goal: &'static str,
}

static ROWS: Mutex<Vec<Row>> = Mutex::new(Vec::new());

pub fn add(row: Row) {
    ROWS.lock().unwrap_or_else(PoisonError::into_inner).push(row);
}

pub fn print(out: &mut dyn Write) -> io::Result<()> {
    let rows = std::mem::take(&mut *ROWS.lock().unwrap_or_else(PoisonError::into_inner));
    if rows.is_empty() {
        return Ok(());
    }
    let mut table = comfy_table::Table::new();
    table.load_preset(comfy_table::presets::UTF8_HORIZONTAL_ONLY).set_header(["", "bounced", "beside it", "ratio", "goal"]);
    for Row { what, ours, theirs, ratio, goal } in rows {
        table.add_row([what, ours, theirs, ratio.map_or_else(String::new, |ratio| format!("{ratio:.2}")), goal.to_owned()]);
    }
    writeln!(out, "\n{table}")
}
