//! The first people of a report as a table of text, and of HTML. Pure.
//!
//! Cells are cut; what would make a mail too large is left out and counted with those who stand in the attachment only.

use std::fmt::Write as _;

use comfy_table::{CellAlignment, ContentArrangement, Table, TableComponent, presets};
use minijinja::HtmlEscape;

use super::{
    SHOWN,
    columns::{cell, title},
};
use crate::{action::clean, ledger::Entry};

/// A text table's cells are at most so wide, characters.
const TEXT_CELL: usize = 60;
/// An HTML table's.
const HTML_CELL: usize = 160;
/// A table grows no further from so many octets on.
const ENOUGH: usize = 1024 * 1024;

/// A table, and how many of the people are in it.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Shown {
    pub table: String,
    pub people: usize,
}

/// In plain ASCII lines. Mail programs show text in a narrow face or not at all: nothing is wrapped.
pub fn text(fields: &[String], people: &[Entry]) -> Shown {
    let mut table = Table::new();
    // Two spaces between columns, and a line under the heading.
    table.load_preset(presets::NOTHING).set_style(TableComponent::HeaderLines, '-').set_content_arrangement(ContentArrangement::Disabled);
    table.set_header(fields.iter().map(|field| title(field)));
    for (column, field) in table.column_iter_mut().zip(fields) {
        column.set_padding((0, 2));
        if field == "count" {
            column.set_cell_alignment(CellAlignment::Right);
        }
    }
    let (mut octets, mut shown) = (0, 0);
    for entry in people.iter().take(SHOWN) {
        if octets > ENOUGH {
            break;
        }
        let cells: Vec<String> = fields.iter().map(|field| clean::cut(&short(entry, field), TEXT_CELL)).collect();
        octets += cells.iter().map(|cell| cell.len() + 2).sum::<usize>();
        table.add_row(cells);
        shown += 1;
    }
    let mut out = String::new();
    for line in table.lines() {
        out.push_str(line.trim_end());
        out.push('\n');
    }
    Shown { table: out, people: shown }
}

pub fn html(fields: &[String], people: &[Entry]) -> Shown {
    let align = |field: &str| if field == "count" { "right" } else { "left" };
    let mut out = String::from(
        "<table cellpadding=\"7\" cellspacing=\"0\" style=\"border-collapse:collapse;font-size:13px;line-height:1.35\">\n<thead><tr style=\"border-bottom:2px solid #808080\">",
    );
    // Writing to a String can't fail.
    for field in fields {
        let _ = write!(out, "<th align=\"{}\" nowrap style=\"font-weight:600\">{}</th>", align(field), HtmlEscape(title(field)));
    }
    out.push_str("</tr></thead>\n<tbody>\n");
    let mut shown = 0;
    for entry in people.iter().take(SHOWN) {
        if out.len() > ENOUGH {
            break;
        }
        out.push_str("<tr valign=\"top\" style=\"border-bottom:1px solid #80808055\">");
        for field in fields {
            let text = clean::cut(&short(entry, field), HTML_CELL);
            // What is wide gives way first where the screen is narrow.
            let style = match field.as_str() {
                "diagnostic" | "tags" => "style=\"min-width:200px;overflow-wrap:anywhere\"",
                "address" => "style=\"min-width:190px;overflow-wrap:anywhere\"",
                "at" | "first_seen" | "last_seen" => "style=\"min-width:88px\"",
                _ => "nowrap",
            };
            let _ = write!(out, "<td align=\"{}\" {style}>{}</td>", align(field), HtmlEscape(&text));
        }
        out.push_str("</tr>\n");
        shown += 1;
    }
    out.push_str("</tbody></table>\n");
    Shown { table: out, people: shown }
}

/// Times to the minute, without the signs that only programs need.
fn short(entry: &Entry, field: &str) -> String {
    let text = cell(entry, field);
    match field {
        "at" | "first_seen" | "last_seen" => text.get(..16).unwrap_or_default().replace('T', " "),
        _ => text,
    }
}
