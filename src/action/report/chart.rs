//! Bounces per day over the last eight weeks, drawn and in words. Pure.
//!
//! The picture holds no text, so that it needs no font: what it means stands around it, and in its alternative text. It is transparent and
//! its colours show on white as on black.

use std::collections::BTreeMap;

use jiff::{Span, civil::Date};
use tiny_skia::{Color, Paint, Pixmap, Rect, Transform};

use crate::{ledger::Counts, taxonomy::Status};

/// How many days it shows; the last one is today.
pub const DAYS: u32 = 56;

/// Two of its points are one of the page's: sharp on fine screens.
const HEIGHT: u16 = 240;
/// Of one day.
const SLOT: u16 = 20;
const GAP: u16 = 5;

/// What the colours stand for, as red, green, blue.
pub const HARD: [u8; 3] = [0xD6, 0x45, 0x50];
pub const SOFT: [u8; 3] = [0xE0, 0xA0, 0x30];
pub const BLOCK: [u8; 3] = [0x4F, 0x83, 0xCC];

/// One day's bounces.
#[derive(Debug, Clone, Copy, Default, PartialEq, Eq)]
struct Bar {
    hard: u64,
    /// Soft and general ones.
    soft: u64,
    block: u64,
}

impl Bar {
    fn of(counts: &Counts) -> Bar {
        let mut bar = Bar::default();
        for (status, count) in counts {
            let part = match status {
                Status::HardBounce => &mut bar.hard,
                Status::SoftBounceGeneral
                | Status::SoftBounceDnsFailure
                | Status::SoftBounceMailboxFull
                | Status::SoftBounceMessageTooLarge
                | Status::BounceNoAddress
                | Status::GeneralBounce => &mut bar.soft,
                Status::MailBlockGeneral
                | Status::MailBlockKnownSpammer
                | Status::MailBlockSpamDetected
                | Status::MailBlockAttachmentDetected
                | Status::MailBlockRelayDenied => &mut bar.block,
                Status::AutoReply
                | Status::TransientBounce
                | Status::SubscribeRequest
                | Status::UnsubscribeRequest
                | Status::ChallengeResponse
                | Status::SpamComplaint
                | Status::AddressChange
                | Status::Delivered
                | Status::Undetermined => continue,
            };
            *part = part.saturating_add(*count);
        }
        bar
    }

    fn sum(self) -> u64 {
        self.hard.saturating_add(self.soft).saturating_add(self.block)
    }
}

/// The days of one report.
#[derive(Debug, Clone, PartialEq, Eq)]
pub struct Chart {
    today: Date,
    /// The oldest first.
    bars: Vec<Bar>,
}

impl Chart {
    /// `days` are counts per UTC day since 1970; `today` is such a day.
    pub fn new(days: &BTreeMap<u32, Counts>, today: u32) -> Chart {
        let first = today.saturating_sub(DAYS - 1);
        let bars = (first..=today).map(|day| days.get(&day).map(Bar::of).unwrap_or_default()).collect();
        let date = Span::new().try_days(today).and_then(|days| jiff::civil::date(1970, 1, 1).checked_add(days));
        Chart { today: date.unwrap_or(Date::MAX), bars }
    }

    /// So many days before today.
    fn date(&self, back: usize) -> Date {
        let back = Span::new().try_days(i64::try_from(back).unwrap_or(0));
        back.and_then(|back| self.today.checked_sub(back)).unwrap_or(Date::MIN)
    }

    /// `28 Sep 2026`
    pub fn first_day(&self) -> String {
        day(self.date(self.bars.len().saturating_sub(1)))
    }

    pub fn last_day(&self) -> String {
        day(self.today)
    }

    /// The most of one day.
    pub fn highest(&self) -> u64 {
        self.bars.iter().map(|bar| bar.sum()).max().unwrap_or(0)
    }

    /// Bounces of the last four weeks, and of the four before.
    fn halves(&self) -> (u64, u64) {
        let (before, last) = self.bars.split_at(self.bars.len() / 2);
        let sum = |bars: &[Bar]| bars.iter().fold(0u64, |sum, bar| sum.saturating_add(bar.sum()));
        (sum(last), sum(before))
    }

    /// Whether things get better, in a line.
    pub fn trend(&self) -> String {
        let (last, before) = self.halves();
        let change = match (i128::from(last), i128::from(before)) {
            (_, 0) => String::new(),
            (last, before) => {
                let percent = ((last - before) * 100).checked_div(before).unwrap_or(0);
                match percent {
                    0 => " (no change)".to_owned(),
                    fewer if fewer < 0 => format!(" (\u{2212}{} %)", -fewer),
                    more => format!(" (+{more} %)"),
                }
            }
        };
        format!("Last four weeks: {}. The four before: {}{change}.", grouped(last), grouped(before))
    }

    /// The picture in words.
    pub fn words(&self) -> String {
        let (hard, soft, block) = self.bars.iter().fold((0u64, 0u64, 0u64), |(hard, soft, block), bar| {
            (hard.saturating_add(bar.hard), soft.saturating_add(bar.soft), block.saturating_add(bar.block))
        });
        let span = format!("Bounces per day, {} to {}", self.first_day(), self.last_day());
        let highest = self.highest();
        let Some(at) = self.bars.iter().rposition(|bar| bar.sum() == highest && highest > 0) else { return format!("{span}: none.") };
        let top = day(self.date(self.bars.len().saturating_sub(1).saturating_sub(at)));
        format!(
            "{span}: {} hard, {} soft, {} blocks; the most on one day {} on {top}. {}",
            grouped(hard),
            grouped(soft),
            grouped(block),
            grouped(highest),
            self.trend()
        )
    }

    /// The picture as PNG; `None` where it can't be made, which leaves the words.
    pub fn png(&self) -> Option<Vec<u8>> {
        let width = u32::from(SLOT) * DAYS;
        let mut picture = Pixmap::new(width, u32::from(HEIGHT))?;
        let mut fill = |[red, green, blue]: [u8; 3], alpha: u8, x: u32, top: f32, width: u32, height: f32| -> Option<()> {
            let mut paint = Paint::default();
            paint.set_color(Color::from_rgba8(red, green, blue, alpha));
            let rect = Rect::from_xywh(narrow(x), top, narrow(width), height)?;
            picture.fill_rect(rect, &paint, Transform::identity(), None);
            Some(())
        };
        let floor = f32::from(HEIGHT) - 2.0;
        // Hair lines at the highest, the half and the floor.
        for line in [0.0, floor / 2.0, floor] {
            fill([0x80; 3], 0x60, 0, line, width, 2.0);
        }
        let scale = f64::from(floor) / as_float(self.highest().max(1));
        for (slot, bar) in (0u32..).zip(&self.bars) {
            let left = slot * u32::from(SLOT);
            let back = self.bars.len().saturating_sub(1).saturating_sub(usize::try_from(slot).unwrap_or(0));
            if self.date(back).weekday() == jiff::civil::Weekday::Monday {
                fill([0x80; 3], 0x38, left, 0.0, 2, floor);
            }
            let mut bottom = floor;
            for (count, colour) in [(bar.hard, HARD), (bar.soft, SOFT), (bar.block, BLOCK)] {
                let height = shortened(as_float(count) * scale);
                // What there is of is seen, if only as a line.
                let height = if count > 0 { height.max(2.0) } else { continue };
                let top = (bottom - height).max(0.0);
                fill(colour, 0xFF, left + u32::from(GAP), top, u32::from(SLOT - GAP), bottom - top);
                bottom = top;
            }
        }
        picture.encode_png().ok()
    }
}

#[expect(clippy::cast_precision_loss, reason = "for drawing, 24 bits are plenty")]
fn narrow(number: u32) -> f32 {
    number as f32
}

#[expect(clippy::cast_precision_loss, reason = "for drawing, 53 bits are plenty")]
fn as_float(number: u64) -> f64 {
    number as f64
}

#[expect(clippy::cast_possible_truncation, reason = "for drawing, 24 bits are plenty")]
fn shortened(number: f64) -> f32 {
    number as f32
}

fn day(date: Date) -> String {
    date.strftime("%-d %b %Y").to_string()
}

/// `12,345`
pub fn grouped(number: u64) -> String {
    let digits = number.to_string();
    let mut out = String::new();
    for (at, digit) in digits.chars().enumerate() {
        if at > 0 && (digits.len() - at).is_multiple_of(3) {
            out.push(',');
        }
        out.push(digit);
    }
    out
}

#[cfg(test)]
mod tests {
    use super::*;

    fn counts(hard: u64, soft: u64, block: u64) -> Counts {
        [(Status::HardBounce, hard), (Status::SoftBounceMailboxFull, soft), (Status::MailBlockGeneral, block), (Status::AutoReply, 99)]
            .into()
    }

    #[test]
    fn the_picture_in_words() {
        // 2026-11-23 is day 20,780.
        let days = [(20_780, counts(1, 2, 3)), (20_740, counts(1_000, 0, 8)), (20_700, counts(7, 7, 7))].into();
        let chart = Chart::new(&days, 20_780);
        assert_eq!(
            chart.words(),
            "Bounces per day, 29 Sep 2026 to 23 Nov 2026: 1,001 hard, 2 soft, 11 blocks; the most on one day 1,008 on 14 Oct 2026. \
             Last four weeks: 6. The four before: 1,008 (\u{2212}99 %)."
        );
        assert_eq!(Chart::new(&BTreeMap::new(), 20_780).words(), "Bounces per day, 29 Sep 2026 to 23 Nov 2026: none.");
        assert_eq!([0, 999, 1_000, 1_234_567].map(grouped), ["0", "999", "1,000", "1,234,567"]);
    }

    #[test]
    fn the_picture_is_what_the_counts_are() {
        let decode = |chart: &Chart| Pixmap::decode_png(&chart.png().unwrap()).unwrap();
        let chart = Chart::new(&[(20_780, counts(2, 1, 1)), (20_779, counts(0, 0, 1))].into(), 20_780);
        let picture = decode(&chart);
        assert_eq!((picture.width(), picture.height()), (1_120, 240));
        let colour = |day: u32, from_floor: u32| {
            let pixel = picture.pixel((DAYS - 1 - day) * 20 + 12, 237 - from_floor).unwrap().demultiply();
            [pixel.red(), pixel.green(), pixel.blue()]
        };
        assert_eq!([10, 100, 130, 170, 190, 230].map(|at| colour(0, at)), [HARD, HARD, SOFT, SOFT, BLOCK, BLOCK]);
        assert_eq!(colour(1, 10), BLOCK);
        assert_eq!(picture.pixel((DAYS - 2) * 20 + 12, 100).unwrap().alpha(), 0, "above a quarter there is nothing");
        for extreme in [u64::MAX, 0, 1] {
            decode(&Chart::new(&[(20_780, counts(extreme, extreme, extreme)), (3, counts(1, 1, 1))].into(), 20_780));
        }
        for today in [0, 10, u32::MAX] {
            decode(&Chart::new(&BTreeMap::new(), today));
        }
    }
}
