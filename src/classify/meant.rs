//! Of whom a sentence says that he doesn't exist.
//!
//! "Does not exist" is said of senders and of domains with the words that are said of recipients, and those are what the tables know. Whose
//! noun stands nearest before them in the same clause tells it: "il mittente non esiste", "domena odbiorcy nie istnieje". English has rows of
//! its own beside this. Where no noun is known, nothing is told. Linear, a few dozen octets for each hit.

use std::{ops::Range, sync::LazyLock};

use aho_corasick::{AhoCorasick, MatchKind};

use super::text::{folded, wide};

/// So many octets before a hit may belong to its clause.
const REACH: usize = 64;
/// So many octets may part a sender's noun from what is said of it.
const APART: usize = 24;
/// So many octets may part a domain from whose it is: an article, an ending.
const GENITIVE: usize = 14;

/// Who is meant where it isn't the recipient.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Other {
    Sender,
    Domain,
}

#[derive(Debug, Clone, Copy, PartialEq, Eq)]
enum Noun {
    Sender,
    Recipient,
    User,
    Domain,
}

/// What stands before a sender to whom something is returned, or by whom an address was given: then it isn't his that is gone.
const NOT_HIS: &[&str] = &[
    "par l'",
    "par le ",
    "por el ",
    "por la ",
    " dal ",
    " pelo ",
    " pela ",
    " door de ",
    " przez ",
    " a l'",
    " au ",
    " an ",
    " an den ",
    " al ",
    " ao ",
    " aan ",
    " aan de ",
    " till ",
    " til ",
];
/// What stands after him then.
const GIVEN: &[&str] = &["angegeb", "eingegeb", "genannt", "verwendet"];

/// Nouns by how they begin, parted by bars.
const NOUNS: &[(Noun, &str)] = &[
    (
        Noun::Sender,
        "return address|reply address|reply-to address|return-path|return path|reverse-path|reverse path|envelope sender|from address|expéditeur|émetteur|remitente|emisor|mittente|remetente|emissor|absender|versender|afzender|verzender|avsändar|avsender|\
         afsender|lähettäj|nadawc|odesílatel|odosielateľ|feladó|küldő|expeditor|pošiljatelj|pošiljalac|отправител|відправник|\
         подател|изпраща|αποστολ|gönderen|gönderic|pengirim|người gửi|发件人|發件人|发信人|发送者|寄件者|寄件人|送信者|送信元|差出人|보낸 사람|보낸사람|발신자|발신인|발송자|\
         المرسل|השולח",
    ),
    (
        Noun::Recipient,
        "destinatair|destinatari|destinatár|empfäng|empfaeng|adressat|adresát|ontvanger|geadresseerde|mottagar|mottaker|modtager|\
         vastaanottaj|odbiorc|příjemc|príjemc|címzett|primatelj|primalac|получател|адресат|одержувач|отримувач|παραλήπτ|παραληπτ|\
         alıcı|penerima|người nhận|收件人|收件者|收信人|宛先|受信者|受取人|수신자|수신인|받는 사람|받는사람|المستلم|المرسل إليه|المرسل اليه|הנמען",
    ),
    (
        Noun::User,
        "utilisateur|usuari|usuári|utente|utenti|benutzer|nutzer|gebruiker|användar|bruker|bruger|käyttäj|użytkownik|uživatel|\
         používateľ|felhasználó|utilizator|korisnik|пользовател|користувач|потребител|χρήστ|χρηστ|kullanıcı|pengguna|người dùng|\
         用户|用戶|使用者|ユーザ|利用者|사용자|المستخدم|המשתמש",
    ),
    (
        Noun::Domain,
        "domain|domini|domíni|domein|domän|domen|domæn|verkkotunnu|verkkoalue|tartomány|domén|alan ad|домен|домейн|τομέα|\
         tên miền|域名|网域|網域|ドメイン|도메인|הדומיין|דומיין|نطاق",
    ),
];

static WORDS: LazyLock<Option<AhoCorasick>> = LazyLock::new(|| {
    let words = NOUNS.iter().flat_map(|(_, words)| words.split('|').map(folded));
    AhoCorasick::builder().match_kind(MatchKind::LeftmostLongest).build(words).ok()
});

/// A noun that stands in a clause.
struct Found {
    noun: Noun,
    at: Range<usize>,
    /// What English has, too.
    english: bool,
}

/// Who else is meant by words at `hit`, in the comparable form, that say of a recipient that he is gone.
pub fn another(norm: &str, hit: &Range<usize>) -> Option<Other> {
    let start = clause(norm, hit.start);
    let clause = norm.get(start..hit.end)?;
    let hit = hit.start.checked_sub(start)?;
    let found = nouns(clause);
    let person = found.iter().rev().find(|one| one.noun != Noun::Domain);
    if let Some(one) = person.filter(|one| one.noun == Noun::Sender) {
        let (before, after) = (clause.get(..one.at.start).unwrap_or_default(), clause.get(one.at.end..).unwrap_or_default());
        let not_his = NOT_HIS.iter().any(|words| before.ends_with(words)) || GIVEN.iter().any(|word| after.contains(word));
        return (!not_his && hit.saturating_sub(one.at.end) <= APART).then_some(Other::Sender);
    }
    let domain = found.iter().rev().find(|one| one.noun == Noun::Domain)?;
    let is_meant = match person {
        // "the recipient's domain", but not "the recipient in the domain"
        Some(person) if person.at.end <= domain.at.start => {
            let between = clause.get(person.at.end..domain.at.start).unwrap_or_default();
            let ending = between.trim_end();
            !ending.contains(' ') && ending.len() <= GENITIVE && hit.saturating_sub(domain.at.end) <= GENITIVE
        }
        // "the domain of the recipient", but not "in the domain unknown recipient"
        Some(person) => {
            let turned = domain.at.end <= hit && hit + 4 < person.at.start;
            person.noun == Noun::Recipient && person.at.start - domain.at.end <= GENITIVE && !turned && hit <= person.at.end + GENITIVE
        }
        None => !domain.english && hit.saturating_sub(domain.at.end) <= 4,
    };
    is_meant.then_some(Other::Domain)
}

/// Where the clause begins to which a place belongs.
fn clause(norm: &str, at: usize) -> usize {
    let mut start = at.saturating_sub(REACH);
    while !norm.is_char_boundary(start) {
        start += 1;
    }
    let before = norm.get(start..at).unwrap_or_default();
    let mut next = before.char_indices().skip(1).map(|(_, c)| c).chain(std::iter::once(' '));
    let mut last = 0;
    for (offset, c) in before.char_indices() {
        let follows = next.next().unwrap_or(' ');
        let ends = matches!(c, '。' | '、' | '，' | '；' | '！' | '？' | '(' | ')')
            || matches!(c, '.' | ',' | ';' | ':' | '!' | '?' | '-') && !follows.is_alphanumeric();
        if ends {
            last = offset + c.len_utf8();
        }
    }
    start + last
}

fn nouns(clause: &str) -> Vec<Found> {
    let Some(words) = WORDS.as_ref() else { return Vec::new() };
    let all = || NOUNS.iter().flat_map(|(noun, words)| words.split('|').map(|_| *noun));
    let begins = |at: usize| {
        let before = clause.get(..at).and_then(|before| before.chars().next_back());
        let unspaced = |c: char| wide(c) || matches!(c, '\u{ac00}'..='\u{d7af}');
        clause.get(at..).and_then(|rest| rest.chars().next()).is_some_and(unspaced) || !before.is_some_and(char::is_alphanumeric)
    };
    let found = words.find_iter(clause).filter(|found| begins(found.start()));
    let found = found.filter_map(|found| {
        let at = found.range();
        let english = clause.get(at.clone()).is_some_and(|word| word == "domain");
        all().nth(found.pattern().as_usize()).map(|noun| Found { noun, at, english })
    });
    found.collect()
}

#[cfg(test)]
mod tests {
    use super::*;
    use crate::classify::text::Text;

    #[test]
    fn whose_noun_is_nearest() {
        let cases: &[(&str, &str, Option<Other>)] = &[
            ("550 Il mittente non esiste", "non esiste", Some(Other::Sender)),
            ("550 L'adresse de l'expéditeur est inconnue", "adresse de l'expediteur est inconnue", Some(Other::Sender)),
            ("550 送信元アドレスが存在しません", "存在しません", Some(Other::Sender)),
            ("550 Doména příjemce neexistuje", "prijemce neexistuje", Some(Other::Domain)),
            ("550 Alıcının alan adı bulunamadı", "alicinin alan adi bulunamadi", Some(Other::Domain)),
            ("550 المرسل إليه غير موجود", "غير موجود", None),
            ("Le message de l'expéditeur est revenu : le destinataire n'existe pas", "n'existe pas", None),
            ("Nel dominio example.org l'utente non esiste", "non esiste", None),
            ("Domain: unbekannter Empfänger", "unbekannter empfanger", None),
            ("in der Domain unbekannter Empfänger", "unbekannter empfanger", None),
            ("Die vom Absender angegebene Adresse existiert nicht", "adresse existiert nicht", None),
            ("L'adresse indiquée par l'expéditeur n'existe pas", "n'existe pas", None),
            ("Retour à l'expéditeur - adresse inconnue", "adresse inconnue", None),
            ("Retour à l'expéditeur adresse inconnue", "adresse inconnue", None),
            ("Der Empfänger in der Domain existiert nicht", "existiert nicht", None),
            ("550 Mottagarens domän finns inte", "mottagarens doman finns inte", Some(Other::Domain)),
            ("550 Return address is not a valid mailbox", "not a valid mailbox", Some(Other::Sender)),
            ("550 Utente sconosciuto", "utente sconosciuto", None),
            ("550 domain user unknown", "user unknown", None),
        ];
        for (text, hit, want) in cases {
            let text = Text::new(*text);
            let at = text.norm().find(hit).unwrap();
            assert_eq!(another(text.norm(), &(at..at + hit.len())), *want, "{}", text.norm());
        }
    }
}
