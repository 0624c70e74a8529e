//! SOQL, as far as a polling client speaks it: text in, a parsed query or the position of the fault out.
//! It must not know which objects and fields an org has.

use chrono::{DateTime, NaiveDate, Utc};

/// A name as written, with its 0-based place in the text (errors point at it).
#[derive(Clone, Debug, PartialEq)]
pub struct Name {
    /// As written; SOQL compares names without case.
    pub text: String,
    /// Characters before it.
    pub at: usize,
}

/// What a field is compared with.
#[derive(Clone, Debug, PartialEq)]
pub enum Literal {
    /// A quoted string, escapes resolved.
    Text(String),
    /// An unquoted date-time.
    Instant(DateTime<Utc>),
    /// An unquoted day.
    Date(NaiveDate),
    /// `true` or `false`.
    Bool(bool),
    /// An unquoted number.
    Number(f64),
    /// `null`.
    Null,
}

/// The operators between a field and one literal.
#[derive(Clone, Copy, Debug, PartialEq)]
pub enum Comparison {
    /// `=`
    Equal,
    /// `!=` or `<>`
    NotEqual,
    /// `<`
    Less,
    /// `<=`
    AtMost,
    /// `>`
    Greater,
    /// `>=`
    AtLeast,
}

/// A WHERE clause.
#[derive(Clone, Debug, PartialEq)]
pub enum Condition {
    /// Joined by AND.
    All(Vec<Condition>),
    /// Joined by OR.
    Any(Vec<Condition>),
    /// NOT.
    Not(Box<Condition>),
    /// `Field operator literal`
    Compare {
        /// The left side.
        field: Name,
        /// The operator.
        comparison: Comparison,
        /// The right side.
        literal: Literal,
    },
    /// `Field IN (…)` or `Field NOT IN (…)`
    Within {
        /// The left side.
        field: Name,
        /// The list.
        literals: Vec<Literal>,
        /// Whether NOT stood before IN.
        negated: bool,
    },
}

/// One key of ORDER BY.
#[derive(Clone, Debug, PartialEq)]
pub struct Order {
    /// The field sorted by.
    pub field: Name,
    /// DESC.
    pub descending: bool,
}

/// What the query asks for.
#[derive(Clone, Debug, PartialEq)]
pub enum Select {
    /// `COUNT()`
    Count,
    /// A list of fields, parents dotted.
    Fields(Vec<Name>),
}

/// A parsed query.
#[derive(Clone, Debug, PartialEq)]
pub struct Query {
    /// What it asks for.
    pub select: Select,
    /// FROM.
    pub object: Name,
    /// WHERE.
    pub condition: Option<Condition>,
    /// ORDER BY.
    pub order: Vec<Order>,
    /// LIMIT.
    pub limit: Option<usize>,
}

/// Why a text is no query: `MALFORMED_QUERY`.
#[derive(Clone, Debug, PartialEq)]
pub struct Malformed {
    /// Salesforce's words.
    pub message: String,
    /// 0-based place in the text.
    pub at: usize,
}

#[derive(Clone, Debug, PartialEq)]
enum Token {
    Word(String),
    Text(String),
    Symbol(&'static str),
}

const SYMBOLS: [&str; 10] = ["!=", "<>", "<=", ">=", "=", "<", ">", "(", ")", ","];

/// Parses one query; errors carry the place of the offending token.
pub fn parse(text: &str) -> Result<Query, Malformed> {
    let tokens = tokenize(text)?;
    let end = text.chars().count();
    let mut parser = Parser { tokens: &tokens, next: 0, end };
    parser.query()
}

fn tokenize(text: &str) -> Result<Vec<(Token, usize)>, Malformed> {
    let chars: Vec<char> = text.chars().collect();
    let mut tokens = Vec::new();
    let mut at = 0;
    while let Some(&char) = chars.get(at) {
        let start = at;
        if char.is_whitespace() {
            at += 1;
        } else if char == '\'' {
            let (string, after) = quoted(&chars, at)?;
            tokens.push((Token::Text(string), start));
            at = after;
        } else if let Some(symbol) = SYMBOLS.iter().find(|symbol| starts_with(&chars[at..], symbol)) {
            tokens.push((Token::Symbol(symbol), start));
            at += symbol.len();
        } else if is_word(char) {
            while chars.get(at).copied().is_some_and(is_word) {
                at += 1;
            }
            tokens.push((Token::Word(chars[start..at].iter().collect()), start));
        } else {
            return Err(Malformed { message: format!("unexpected token: '{char}'"), at });
        }
    }
    Ok(tokens)
}

/// Letters of names, numbers and date-times alike; the parser tells them apart.
fn is_word(char: char) -> bool {
    char.is_alphanumeric() || matches!(char, '_' | '.' | ':' | '-' | '+')
}

fn starts_with(chars: &[char], symbol: &str) -> bool {
    symbol.chars().enumerate().all(|(place, char)| chars.get(place) == Some(&char))
}

fn quoted(chars: &[char], opening: usize) -> Result<(String, usize), Malformed> {
    let mut string = String::new();
    let mut at = opening + 1;
    while let Some(&char) = chars.get(at) {
        match char {
            '\'' => return Ok((string, at + 1)),
            '\\' => {
                string.push(match chars.get(at + 1) {
                    Some('n') => '\n',
                    Some('r') => '\r',
                    Some('t') => '\t',
                    Some(char @ ('\'' | '"' | '\\' | '_' | '%')) => *char,
                    _ => return Err(Malformed { message: "Illegal string escape".to_owned(), at }),
                });
                at += 2;
            }
            _ => {
                string.push(char);
                at += 1;
            }
        }
    }
    Err(Malformed { message: "unterminated string literal".to_owned(), at: opening })
}

struct Parser<'a> {
    tokens: &'a [(Token, usize)],
    next: usize,
    end: usize,
}

impl Parser<'_> {
    fn query(&mut self) -> Result<Query, Malformed> {
        self.expect_word("select")?;
        let select = self.select()?;
        self.expect_word("from")?;
        let object = self.name()?;
        let condition = if self.take_word("where") { Some(self.condition()?) } else { None };
        let order = if self.take_word("order") { self.order()? } else { Vec::new() };
        let limit = if self.take_word("limit") { Some(self.limit()?) } else { None };
        if self.next < self.tokens.len() {
            Err(self.unexpected())
        } else {
            Ok(Query { select, object, condition, order, limit })
        }
    }

    fn select(&mut self) -> Result<Select, Malformed> {
        let mut fields = vec![self.name()?];
        if fields[0].text.eq_ignore_ascii_case("count") && self.take_symbol("(") {
            self.expect_symbol(")")?;
            return Ok(Select::Count);
        }
        while self.take_symbol(",") {
            fields.push(self.name()?);
        }
        Ok(Select::Fields(fields))
    }

    /// AND and OR on one level need brackets between them, as in an org.
    fn condition(&mut self) -> Result<Condition, Malformed> {
        let first = self.term()?;
        for (word, join) in [("and", Condition::All as fn(Vec<Condition>) -> Condition), ("or", Condition::Any)] {
            if self.peek_word(word) {
                let mut terms = vec![first];
                while self.take_word(word) {
                    terms.push(self.term()?);
                }
                if self.peek_word("and") || self.peek_word("or") {
                    return Err(self.unexpected());
                }
                return Ok(join(terms));
            }
        }
        Ok(first)
    }

    fn term(&mut self) -> Result<Condition, Malformed> {
        if self.take_word("not") {
            return Ok(Condition::Not(Box::new(self.term()?)));
        }
        if self.take_symbol("(") {
            let inner = self.condition()?;
            self.expect_symbol(")")?;
            return Ok(inner);
        }
        let field = self.name()?;
        let negated = self.take_word("not");
        if self.take_word("in") {
            self.expect_symbol("(")?;
            let mut literals = vec![self.literal()?];
            while self.take_symbol(",") {
                literals.push(self.literal()?);
            }
            self.expect_symbol(")")?;
            return Ok(Condition::Within { field, literals, negated });
        }
        if negated {
            return Err(self.unexpected());
        }
        let comparison = self.comparison()?;
        Ok(Condition::Compare { field, comparison, literal: self.literal()? })
    }

    fn comparison(&mut self) -> Result<Comparison, Malformed> {
        let comparison = match self.peek() {
            Some(Token::Symbol("=")) => Comparison::Equal,
            Some(Token::Symbol("!=" | "<>")) => Comparison::NotEqual,
            Some(Token::Symbol("<")) => Comparison::Less,
            Some(Token::Symbol("<=")) => Comparison::AtMost,
            Some(Token::Symbol(">")) => Comparison::Greater,
            Some(Token::Symbol(">=")) => Comparison::AtLeast,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(comparison)
    }

    fn literal(&mut self) -> Result<Literal, Malformed> {
        let literal = match self.peek() {
            Some(Token::Text(text)) => Literal::Text(text.clone()),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("null") => Literal::Null,
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("true") => Literal::Bool(true),
            Some(Token::Word(word)) if word.eq_ignore_ascii_case("false") => Literal::Bool(false),
            Some(Token::Word(word)) => scalar(word).ok_or_else(|| self.unexpected())?,
            _ => return Err(self.unexpected()),
        };
        self.next += 1;
        Ok(literal)
    }

    fn order(&mut self) -> Result<Vec<Order>, Malformed> {
        self.expect_word("by")?;
        let mut keys = Vec::new();
        loop {
            let field = self.name()?;
            let descending = self.take_word("desc");
            if !descending {
                self.take_word("asc");
            }
            keys.push(Order { field, descending });
            if !self.take_symbol(",") {
                return Ok(keys);
            }
        }
    }

    fn limit(&mut self) -> Result<usize, Malformed> {
        let Some(Token::Word(word)) = self.peek() else { return Err(self.unexpected()) };
        let limit = word.parse().map_err(|_| self.unexpected())?;
        self.next += 1;
        Ok(limit)
    }

    fn name(&mut self) -> Result<Name, Malformed> {
        match self.tokens.get(self.next) {
            Some((Token::Word(word), at)) if is_name(word) => {
                self.next += 1;
                Ok(Name { text: word.clone(), at: *at })
            }
            _ => Err(self.unexpected()),
        }
    }

    fn peek(&self) -> Option<&Token> {
        self.tokens.get(self.next).map(|(token, _)| token)
    }

    fn peek_word(&self, expected: &str) -> bool {
        matches!(self.peek(), Some(Token::Word(word)) if word.eq_ignore_ascii_case(expected))
    }

    fn take_word(&mut self, expected: &str) -> bool {
        let found = self.peek_word(expected);
        self.next += usize::from(found);
        found
    }

    fn take_symbol(&mut self, expected: &str) -> bool {
        let found = matches!(self.peek(), Some(Token::Symbol(symbol)) if *symbol == expected);
        self.next += usize::from(found);
        found
    }

    fn expect_word(&mut self, expected: &str) -> Result<(), Malformed> {
        if self.take_word(expected) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn expect_symbol(&mut self, expected: &str) -> Result<(), Malformed> {
        if self.take_symbol(expected) { Ok(()) } else { Err(self.unexpected()) }
    }

    fn unexpected(&self) -> Malformed {
        match self.tokens.get(self.next) {
            Some((Token::Word(word), at)) => Malformed { message: format!("unexpected token: '{word}'"), at: *at },
            Some((Token::Text(_), at)) => Malformed { message: "unexpected token: string".to_owned(), at: *at },
            Some((Token::Symbol(symbol), at)) => {
                Malformed { message: format!("unexpected token: '{symbol}'"), at: *at }
            }
            None => Malformed { message: "unexpected token: '<EOF>'".to_owned(), at: self.end },
        }
    }
}

/// A name starts with a letter, is dotted at most as `Parent.Field`, and is no clause word.
fn is_name(word: &str) -> bool {
    const CLAUSES: [&str; 12] =
        ["select", "from", "where", "and", "or", "not", "in", "order", "by", "limit", "like", "null"];
    word.starts_with(|char: char| char.is_ascii_alphabetic())
        && word.chars().all(|char| char.is_ascii_alphanumeric() || matches!(char, '_' | '.'))
        && !CLAUSES.iter().any(|clause| word.eq_ignore_ascii_case(clause))
}

/// A date-time (`2026-11-02T09:15:41Z`, with a fraction, or with an offset), a day, or a number.
fn scalar(word: &str) -> Option<Literal> {
    let instant = DateTime::parse_from_rfc3339(word).ok().map(|instant| Literal::Instant(instant.to_utc()));
    let day = || word.parse::<NaiveDate>().ok().map(Literal::Date);
    let number = || word.parse::<f64>().ok().map(Literal::Number);
    instant.or_else(day).or_else(number)
}

#[cfg(test)]
mod tests {
    use super::*;

    fn condition(text: &str) -> Condition {
        parse(&format!("SELECT Id FROM Contact WHERE {text}")).unwrap().condition.unwrap()
    }

    #[test]
    fn a_keyset_query_parses() {
        let query = parse(
            "select Id, Account.Name FROM Contact WHERE (SystemModstamp = 2026-11-02T09:15:41Z AND Id > '003') \
             OR SystemModstamp > 2026-11-02T10:15:41+01:00 ORDER BY SystemModstamp ASC, Id DESC LIMIT 2000",
        )
        .unwrap();
        assert_eq!(query.limit, Some(2000));
        assert_eq!(query.order.iter().map(|order| order.descending).collect::<Vec<_>>(), [false, true]);
        let Some(Condition::Any(terms)) = query.condition else { panic!("no OR") };
        let Condition::All(inner) = &terms[0] else { panic!("no AND") };
        let stamp = |condition: &Condition| match condition {
            Condition::Compare { literal: Literal::Instant(instant), .. } => instant.timestamp(),
            _ => 0,
        };
        assert_eq!((inner.len(), stamp(&inner[0])), (2, 1_793_610_941));
        assert_eq!(stamp(&terms[1]), stamp(&inner[0]));
    }

    #[test]
    fn literals_and_escapes() {
        let literal = |text: &str| match condition(&format!("F = {text}")) {
            Condition::Compare { literal, .. } => literal,
            _ => panic!("no comparison"),
        };
        assert_eq!(literal(r"'O\'Brien \\ \n'"), Literal::Text("O'Brien \\ \n".to_owned()));
        assert_eq!(literal("NULL"), Literal::Null);
        assert_eq!(literal("true"), Literal::Bool(true));
        assert_eq!(literal("-1.5"), Literal::Number(-1.5));
        let Condition::Within { literals, negated: true, .. } = condition("Id NOT IN ('a','b')") else {
            panic!("no list")
        };
        assert_eq!(literals.len(), 2);
    }

    #[test]
    fn faults_are_pointed_at() {
        for (text, at, token) in [
            ("SELECT Id FROM", 14, "<EOF>"),
            ("SELECT FROM Contact", 7, "FROM"),
            ("SELECT Id FROM Contact WHERE A = 1 AND B = 2 OR C = 3", 45, "OR"),
            ("SELECT Id FROM Contact WHERE (A = 1", 35, "<EOF>"),
            ("SELECT Id FROM Contact WHERE A = 2026-99-02T09:15:41Z", 33, "2026-99-02T09:15:41Z"),
            ("SELECT Id FROM Contact LIMIT x", 29, "x"),
            ("SELECT Id; FROM Contact", 9, ";"),
            ("SELECT Id FROM Contact nonsense", 23, "nonsense"),
        ] {
            let malformed = parse(text).unwrap_err();
            assert_eq!((malformed.message, malformed.at), (format!("unexpected token: '{token}'"), at), "{text}");
        }
        assert!(parse(r"SELECT Id FROM C WHERE A = 'x\q'").is_err());
        assert!(parse("SELECT Id FROM C WHERE A = 'x").is_err());
    }
}
