//! Which character set undeclared bytes are in.
//!
//! A guess is made only of bytes that are no UTF-8 and that nothing labels, from a bounded sample: the lines that have letters beyond ASCII.
//! Too little to go by reads as Windows-1252, as it always did.

use chardetng::{EncodingDetector, Iso2022JpDetection, Utf8Detection};

use super::text::{self, Lines};

/// So many octets of lines with letters beyond ASCII are a sample.
const MAX_SAMPLE: usize = 8 * 1024;
/// So far into the mail a sample or a label is looked for, in octets.
const MAX_LOOKED_THROUGH: usize = 64 * 1024;

/// Decodes by guess.
pub fn guessed(bytes: &[u8]) -> String {
    decode(bytes, bytes)
}

/// Decodes a header field by what stands around it: the label of the mail's own text, else a guess from header and text together. A subject alone
/// is too short to tell by.
pub fn like_its_mail(value: &[u8], mail: &[u8]) -> String {
    let mail = text::head(mail, MAX_LOOKED_THROUGH);
    match label(mail) {
        Some(label) => text::charset_decode(value, Some(&label)).into_owned(),
        None => decode(value, mail),
    }
}

fn decode(bytes: &[u8], sample: &[u8]) -> String {
    let mut detector = EncodingDetector::new(Iso2022JpDetection::Deny);
    let mut left = MAX_SAMPLE;
    for line in Lines::new(text::head(sample, MAX_LOOKED_THROUGH), 0).filter(|line| !line.text.is_ascii()) {
        let line = text::head(line.text, left);
        detector.feed(line, false);
        detector.feed(b"\n", false);
        left -= line.len();
        if left == 0 {
            break;
        }
    }
    detector.feed(b"", true);
    let encoding = detector.guess(None, Utf8Detection::Deny);
    encoding.decode_without_bom_handling(bytes).0.into_owned()
}

/// The first `charset=` that names something that these bytes may be in.
fn label(mail: &[u8]) -> Option<String> {
    const NAME: &[u8] = b"charset=";
    let at = mail.windows(NAME.len()).position(|window| window.eq_ignore_ascii_case(NAME))?;
    let value = mail.get(at + NAME.len()..)?;
    let label: String = value
        .iter()
        .map(|&b| char::from(b))
        .skip_while(|c| matches!(c, '"' | '\''))
        .take_while(|c| c.is_ascii_alphanumeric() || matches!(c, '-' | '_' | ':'))
        .take(40)
        .collect::<String>()
        .to_ascii_lowercase();
    let says_nothing = label.is_empty() || label.starts_with("utf") || label.starts_with("iso-2022") || text::is_ascii_label(&label);
    (!says_nothing && text::is_known(&label)).then_some(label)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn undeclared_text_is_recognised() {
        let cases: [(&[u8], &str); 7] = [
            (b"\xd5\xe2\xca\xc7\xd7\xd4\xb6\xaf\xbb\xd8\xb8\xb4", "这是自动回复"),
            (b"\xfa\xc4\xd2\xc1\xd7\xd3\xd4\xd7\xd5\xca\xd4\xc5! \xf1 \xd7 \xcf\xd4\xd0\xd5\xd3\xcb\xc5.", "Здравствуйте! Я в отпуске."),
            (b"\xc7\xe4\xf0\xe0\xe2\xf1\xf2\xe2\xf3\xe9\xf2\xe5!", "Здравствуйте!"),
            (b"\x82\xbd\x82\xbe\x82\xa2\x82\xdc\x8b\x78\x89\xc9\x92\x86\x82\xc5\x82\xb7\x81\x42", "ただいま休暇中です。"),
            (b"Gr\xfc\xdfe", "Grüße"),
            (b"Je suis absent(e), \xe0 bient\xf4t.", "Je suis absent(e), à bientôt."),
            (b"plain", "plain"),
        ];
        for (bytes, want) in cases {
            assert_eq!(guessed(bytes), want);
        }
    }

    #[test]
    fn a_field_is_read_like_the_text_below_it() {
        let mail = b"Subject: \xe1\xd7\xd4\xcf\nContent-Type: text/plain; charset=\"KOI8-R\"\n\nx";
        assert_eq!(like_its_mail(b"\xe1\xd7\xd4\xcf", mail), "Авто");
        let bare = b"Subject: \xe1\xd7\xd4\xcf\n\n\xfa\xc4\xd2\xc1\xd7\xd3\xd4\xd7\xd5\xca\xd4\xc5! \xf1 \xd7 \xcf\xd4\xd0\xd5\xd3\xcb\xc5";
        assert_eq!(like_its_mail(b"\xe1\xd7\xd4\xcf", bare), "Авто");
    }
}
