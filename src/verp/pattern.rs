//! A pattern such as `b+{campaign}+{sig}+{local}={domain}`: checked once, then spelt and read.
//!
//! What is read is lowercased first: relays change case on the way back. Matching takes linear time.

use regex::Regex;

/// The longest campaign, characters.
pub const CAMPAIGN_MAX: usize = 32;
/// Local part of the envelope sender of the daemon's own mail, up to the first `+`.
pub const OWN_PREFIX: &str = "bounced-own";
/// Stands for `{sig}` where there is no secret to sign with.
pub const UNSIGNED: &str = "nosig";
/// The characters of a dot-atom (RFC 5322, section 3.2.3), lowercased, for a regex class.
const DOT_ATOM: &str = r"a-z0-9!#$%&'*+/=?^_`{|}~.\-";
/// A pattern is refused when its literals alone are longer: nothing would fit into 64 octets.
const LITERAL_MAX: usize = 32;

/// What stands in braces.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Part {
    Campaign,
    Sig,
    Local,
    Domain,
    Hash,
    Id,
}

impl Part {
    const ALL: [Part; 6] = [Part::Campaign, Part::Sig, Part::Local, Part::Domain, Part::Hash, Part::Id];

    const fn name(self) -> &'static str {
        match self {
            Part::Campaign => "campaign",
            Part::Sig => "sig",
            Part::Local => "local",
            Part::Domain => "domain",
            Part::Hash => "hash",
            Part::Id => "id",
        }
    }

    fn class(self, after: Option<char>) -> String {
        match self {
            Part::Campaign => {
                let rest: String = campaign_chars(after).map(|c| format!(r"\{c}")).collect();
                format!("-|[a-z0-9][a-z0-9{rest}]{{0,{}}}", CAMPAIGN_MAX - 1)
            }
            Part::Sig => format!("[a-z2-7]{{13}}|{UNSIGNED}"),
            Part::Local => format!("[{DOT_ATOM}]+"),
            Part::Domain => r"[a-z0-9_](?:[a-z0-9_.\-]*[a-z0-9_])?".to_owned(),
            Part::Hash => "[a-z2-7]{16}".to_owned(),
            Part::Id => r"[a-z0-9][a-z0-9._\-]*".to_owned(),
        }
    }
}

/// The punctuation that a campaign may hold, where the pattern goes on with `after`.
fn campaign_chars(after: Option<char>) -> impl Iterator<Item = char> {
    ['.', '_', '-'].into_iter().filter(move |c| Some(*c) != after)
}

#[derive(Debug, Clone, PartialEq, Eq)]
enum Token {
    Literal(String),
    Part(Part),
}

/// Whom a pattern names.
#[derive(Debug, Clone, Copy, PartialEq, Eq)]
pub enum Names {
    Address,
    Hash,
    Id,
}

/// What is wrong with a pattern, and how to mend it.
#[derive(Debug, Clone, PartialEq, Eq, thiserror::Error)]
pub enum PatternError {
    #[error("'{{{0}}}' is no placeholder; there are {{campaign}} {{sig}} {{local}} {{domain}} {{hash}} {{id}}")]
    Unknown(String),
    #[error("a brace is open or closed alone; write placeholders as {{local}}")]
    Brace,
    #[error("{{{0}}} stands twice; leave one out")]
    Twice(&'static str),
    #[error("{{{0}}} and {{{1}}} touch; put a '+' or '=' between them")]
    Touch(&'static str, &'static str),
    #[error("it must name the person by {{local}} and {{domain}} together, or by {{hash}}, or by {{id}}, and by one of them only")]
    Names,
    #[error("'{0}' can't stand in a local part; use letters, digits and any of + = . _ -")]
    Character(char),
    #[error("'{0}' follows {{campaign}} and may stand in a campaign; put a '+' or '=' there")]
    AfterCampaign(char),
    #[error("its fixed text is longer than {LITERAL_MAX} characters; shorten it, a local part has 64 octets in all")]
    Long,
    #[error("'{OWN_PREFIX}' begins the daemon's own addresses; choose another beginning")]
    Own,
}

/// A checked pattern.
#[derive(Debug, Clone)]
pub struct Pattern {
    tokens: Vec<Token>,
    regex: Regex,
    names: Names,
}

/// What stands at the placeholders, lowercased. A campaign of `-` is none.
#[derive(Debug, Clone, Default, PartialEq, Eq)]
pub struct Parts<'a> {
    pub campaign: Option<&'a str>,
    pub sig: Option<&'a str>,
    pub local: Option<&'a str>,
    pub domain: Option<&'a str>,
    pub hash: Option<&'a str>,
    pub id: Option<&'a str>,
}

impl<'a> Parts<'a> {
    fn get(&self, part: Part) -> &'a str {
        match part {
            Part::Campaign => Some(self.campaign.unwrap_or("-")),
            Part::Sig => self.sig,
            Part::Local => self.local,
            Part::Domain => self.domain,
            Part::Hash => self.hash,
            Part::Id => self.id,
        }
        .unwrap_or_default()
    }
}

impl Pattern {
    /// Reads and checks a pattern.
    pub fn parse(text: &str) -> Result<Pattern, PatternError> {
        let tokens = tokens(&text.to_ascii_lowercase())?;
        let literals = || tokens.iter().filter_map(|token| if let Token::Literal(text) = token { Some(text.as_str()) } else { None });
        if let Some(bad) = literals().flat_map(str::chars).find(|c| !(c.is_ascii_alphanumeric() || "+=._-~#$&'*?^".contains(*c))) {
            return Err(PatternError::Character(bad));
        }
        if literals().map(str::len).sum::<usize>() > LITERAL_MAX {
            return Err(PatternError::Long);
        }
        if matches!(tokens.first(), Some(Token::Literal(text)) if text.starts_with(OWN_PREFIX)) {
            return Err(PatternError::Own);
        }
        let names = names(&tokens)?;
        let regex = Regex::new(&expression(&tokens)?).map_err(|_| PatternError::Long)?;
        Ok(Pattern { tokens, regex, names })
    }

    pub fn names(&self) -> Names {
        self.names
    }

    pub fn has(&self, part: Part) -> bool {
        self.tokens.contains(&Token::Part(part))
    }

    /// Whether this (lowercased, otherwise good) campaign can stand in the pattern.
    pub fn takes_campaign(&self, campaign: &str) -> bool {
        let after = self.tokens.windows(2).find_map(|pair| match pair {
            [Token::Part(Part::Campaign), Token::Literal(text)] => text.chars().next(),
            _ => None,
        });
        after.is_none_or(|c| !campaign.contains(c))
    }

    pub fn spell(&self, parts: &Parts<'_>) -> String {
        self.tokens
            .iter()
            .map(|token| match token {
                Token::Literal(text) => text,
                Token::Part(part) => parts.get(*part),
            })
            .collect()
    }

    /// `local` must be lowercased.
    pub fn read<'a>(&self, local: &'a str) -> Option<Parts<'a>> {
        let found = self.regex.captures(local)?;
        let part = |part: Part| found.name(part.name()).map(|text| text.as_str());
        Some(Parts {
            campaign: part(Part::Campaign).filter(|campaign| *campaign != "-"),
            sig: part(Part::Sig),
            local: part(Part::Local),
            domain: part(Part::Domain),
            hash: part(Part::Hash),
            id: part(Part::Id),
        })
    }
}

fn tokens(text: &str) -> Result<Vec<Token>, PatternError> {
    let mut tokens: Vec<Token> = Vec::new();
    let mut rest = text;
    while !rest.is_empty() {
        let (literal, tail) = rest.split_once('{').map_or((rest, None), |(literal, tail)| (literal, Some(tail)));
        if literal.contains('}') {
            return Err(PatternError::Brace);
        }
        if !literal.is_empty() {
            tokens.push(Token::Literal(literal.to_owned()));
        }
        let Some(tail) = tail else { break };
        let (name, tail) = tail.split_once('}').ok_or(PatternError::Brace)?;
        let part = Part::ALL.into_iter().find(|part| part.name() == name).ok_or_else(|| PatternError::Unknown(name.to_owned()))?;
        if tokens.contains(&Token::Part(part)) {
            return Err(PatternError::Twice(part.name()));
        }
        if let Some(Token::Part(before)) = tokens.last() {
            return Err(PatternError::Touch(before.name(), part.name()));
        }
        tokens.push(Token::Part(part));
        rest = tail;
    }
    Ok(tokens)
}

fn names(tokens: &[Token]) -> Result<Names, PatternError> {
    let has = |part| tokens.contains(&Token::Part(part));
    match (has(Part::Local), has(Part::Domain), has(Part::Hash), has(Part::Id)) {
        (true, true, false, false) => Ok(Names::Address),
        (false, false, true, false) => Ok(Names::Hash),
        (false, false, false, true) => Ok(Names::Id),
        _ => Err(PatternError::Names),
    }
}

fn expression(tokens: &[Token]) -> Result<String, PatternError> {
    let mut expression = String::from("^");
    for (place, token) in tokens.iter().enumerate() {
        match token {
            Token::Literal(text) => expression.push_str(&regex::escape(text)),
            Token::Part(part) => {
                let after = tokens.get(place + 1).and_then(|next| match next {
                    Token::Literal(text) => text.chars().next(),
                    Token::Part(_) => None,
                });
                if let (Part::Campaign, Some(c)) = (part, after)
                    && c.is_ascii_alphanumeric()
                {
                    return Err(PatternError::AfterCampaign(c));
                }
                expression.push_str(&format!("(?P<{}>{})", part.name(), part.class(after)));
            }
        }
    }
    expression.push('$');
    Ok(expression)
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn patterns_that_cannot_be() {
        let error = |text: &str| Pattern::parse(text).map(|_| ()).unwrap_err();
        assert_eq!(error("b+{locl}={domain}"), PatternError::Unknown("locl".into()));
        assert_eq!(error("b+{local={domain}"), PatternError::Unknown("local={domain".into()));
        assert_eq!(error("b+{local"), PatternError::Brace);
        assert_eq!(error("b+local}+{id}"), PatternError::Brace);
        assert_eq!(error("{id}+{id}"), PatternError::Twice("id"));
        assert_eq!(error("{local}{domain}"), PatternError::Touch("local", "domain"));
        assert_eq!(error("b+{local}"), PatternError::Names);
        assert_eq!(error("b+{hash}+{id}"), PatternError::Names);
        assert_eq!(error("b+{sig}"), PatternError::Names);
        assert_eq!(error("b {id}"), PatternError::Character(' '));
        assert_eq!(error("b@{id}"), PatternError::Character('@'));
        assert_eq!(error("{campaign}x{id}"), PatternError::AfterCampaign('x'));
        assert_eq!(error("bounced-own+{id}"), PatternError::Own);
        assert_eq!(error("a-fixed-text-of-more-than-32-characters+{id}"), PatternError::Long);
    }

    #[test]
    fn the_last_equals_sign_parts_local_from_domain() {
        let pattern = Pattern::parse("b+{campaign}+{local}={domain}").unwrap();
        let parts = pattern.read("b+-+a=b+c=example.org").unwrap();
        assert_eq!((parts.campaign, parts.local, parts.domain), (None, Some("a=b+c"), Some("example.org")));
    }

    #[test]
    fn a_separator_that_campaigns_may_hold_is_taken_from_them() {
        let pattern = Pattern::parse("b-{campaign}-{id}").unwrap();
        assert_eq!(pattern.read("b-spring-a-b").map(|parts| (parts.campaign, parts.id)), Some((Some("spring"), Some("a-b"))));
        assert_eq!(pattern.read("b---a-b").map(|parts| (parts.campaign, parts.id)), Some((None, Some("a-b"))));
    }
}
