//! Turns the members of a request into an operation of the domain, or into everything that is wrong with them.
//!
//! Money is parsed from its digits, in a JSON string or a JSON number, and never passes through a float. What only the
//! wallet can tell (does it exist, has its currency so many places) is left to the core.

use std::borrow::Cow;
use std::sync::Arc;

use rust_decimal::Decimal;
use wallex_core::currency::Currency;
use wallex_core::id::{IdError, OwnerId, WalletId};
use wallex_core::limits::{AMOUNT_MAX, DESCRIPTION_LENGTH_MAX};
use wallex_core::money::{Amount, Money, MoneyError};
use wallex_core::wallet::{Create, Credit, Debit, Operation, Transfer};

use super::batch_members::{self, OperationMembers};
use super::headers::check_idempotency_key;
use super::members::{self, Member, Members};
use super::problem::{FieldError, Problem};

/// An operation as a request has it.
#[derive(Clone, Debug, PartialEq, Eq)]
pub(super) struct Parsed {
    pub operation: Operation,
    /// Whether the id of the wallet to be created was made here, because the request has none.
    pub wallet_id_made: bool,
}

/// An operation of a batch.
pub(super) struct BatchItem {
    pub parsed: Parsed,
    pub key: Option<String>,
}

/// An operation of a batch that cannot be asked of a wallet.
pub(super) struct Mistaken {
    /// All that is wrong with it; fields are those of the operation.
    pub errors: Vec<FieldError>,
    /// Its members as the request has them: what tells it from another one.
    pub members: Vec<(&'static str, String)>,
}

/// A batch as a request has it.
pub(super) struct ParsedBatch {
    pub atomic: bool,
    /// All of an atomic batch are good.
    pub items: Vec<Result<BatchItem, Mistaken>>,
}

/// What moves money in the wallet that the path names.
#[derive(Clone, Copy, Debug, PartialEq, Eq)]
pub(super) enum Movement {
    Credit,
    Debit,
    Transfer,
}

/// Reads the body of a creation. `make_id` names the wallet when the request does not.
pub(super) fn create(body: &[u8], default: Currency, make_id: impl FnOnce() -> WalletId) -> Result<Parsed, Problem> {
    const ALLOWED: [Member; 4] = [Member::WalletId, Member::OwnerId, Member::InitialBalance, Member::Currency];
    let mut errors = Vec::new();
    let members = members::of_body(body, &mut errors)?;
    let parsed = members.and_then(|members| {
        members.allow_only(&ALLOWED, &mut errors);
        Fields { members, errors: &mut errors }.create(default, make_id)
    });
    finished(parsed, errors)
}

/// Reads the body of a credit, debit or transfer of the wallet `id`.
pub(super) fn movement(body: &[u8], movement: Movement, id: WalletId) -> Result<Parsed, Problem> {
    const ONE_WALLET: [Member; 2] = [Member::Amount, Member::Description];
    const TWO_WALLETS: [Member; 3] = [Member::ToWalletId, Member::Amount, Member::Description];
    let allowed: &[Member] = match movement {
        Movement::Credit | Movement::Debit => &ONE_WALLET,
        Movement::Transfer => &TWO_WALLETS,
    };
    let mut errors = Vec::new();
    let members = members::of_body(body, &mut errors)?;
    let parsed = members.and_then(|members| {
        members.allow_only(allowed, &mut errors);
        Fields { members, errors: &mut errors }.movement(movement, Some(id))
    });
    finished(parsed, errors)
}

/// Reads the body of a batch of at most `limit` operations. `make_id` names wallets whose creation does not, by index.
///
/// A mistake in an operation is its own affair when it stands for itself. It is a mistake of the request when the batch
/// is atomic, and is named with the others when the batch itself is malformed.
pub(super) fn batch(
    body: &[u8],
    limit: usize,
    default: Currency,
    make_id: impl Fn(usize) -> WalletId,
) -> Result<ParsedBatch, Problem> {
    let mut errors = Vec::new();
    let members = batch_members::of_body(body, limit, &mut errors)?;
    let atomic = match members.atomic {
        None | Some("false" | "null") => false,
        Some("true") => true,
        Some(_) => {
            errors.push(FieldError::new("atomic", "type", "must be true or false"));
            false
        }
    };
    let (mut items, mut in_operations) = (Vec::new(), Vec::new());
    match members.operations {
        Some(operations) => {
            items.reserve_exact(operations.len());
            for operation in operations {
                let index = operation.index;
                match batch_item(operation, default, || make_id(index)) {
                    Ok(item) => items.push(Ok(item)),
                    Err(mistaken) => {
                        in_operations.extend(mistaken.errors.iter().map(|error| error.of_operation(index)));
                        items.push(Err(mistaken));
                    }
                }
            }
            if items.is_empty() && errors.is_empty() {
                errors.push(FieldError::new("operations", "required", "must have at least one operation"));
            }
        }
        None => errors.push(FieldError::new("operations", "required", "is missing")),
    }
    if atomic || !errors.is_empty() {
        errors.append(&mut in_operations);
    }
    finished(Some(ParsedBatch { atomic, items }), errors)
}

fn batch_item(
    operation: OperationMembers<'_>,
    default: Currency,
    make_id: impl FnOnce() -> WalletId,
) -> Result<BatchItem, Mistaken> {
    let OperationMembers { members, mut errors, .. } = operation;
    let item = Fields { members, errors: &mut errors }.batch_item(default, make_id);
    item.filter(|_| errors.is_empty()).ok_or_else(|| {
        let members = members.given().map(|(name, raw)| (name, raw.to_owned())).collect();
        Mistaken { errors, members }
    })
}

fn finished<T>(parsed: Option<T>, errors: Vec<FieldError>) -> Result<T, Problem> {
    match parsed {
        Some(parsed) if errors.is_empty() => Ok(parsed),
        Some(_) | None => Err(Problem::validation(errors)),
    }
}

/// The members of one operation, and where its mistakes go. Each reader gives nothing when the member is absent or
/// wrong, and has then said so in `errors`.
struct Fields<'a, 'e> {
    members: Members<'a>,
    errors: &'e mut Vec<FieldError>,
}

impl<'a> Fields<'a, '_> {
    fn create(&mut self, default: Currency, make_id: impl FnOnce() -> WalletId) -> Option<Parsed> {
        let named = self.members.raw(Member::WalletId).is_some();
        let wallet_id = if named { self.id(Member::WalletId, WalletId::parse) } else { Some(make_id()) };
        let owner_id = self.required(Member::OwnerId).then(|| self.id(Member::OwnerId, OwnerId::parse)).flatten();
        let currency = match self.members.raw(Member::Currency) {
            Some(_) => self.currency(),
            None => Some(default),
        };
        let initial_balance = self.initial_balance(currency);
        let operation = Operation::Create(Create {
            wallet_id: wallet_id?,
            owner_id: owner_id?,
            currency: currency?,
            initial_balance: initial_balance?,
        });
        Some(Parsed { operation, wallet_id_made: !named })
    }

    /// `id` is the wallet that the path names; without one it is a member.
    fn movement(&mut self, movement: Movement, id: Option<WalletId>) -> Option<Parsed> {
        let id = id
            .or_else(|| self.required(Member::WalletId).then(|| self.id(Member::WalletId, WalletId::parse)).flatten());
        let to = match movement {
            Movement::Credit | Movement::Debit => None,
            Movement::Transfer => {
                let there = self.required(Member::ToWalletId);
                there.then(|| self.id(Member::ToWalletId, WalletId::parse)).flatten()
            }
        };
        let amount = self.amount();
        let description = self.description();
        let operation = match movement {
            Movement::Credit => {
                Operation::Credit(Credit { wallet_id: id?, amount: amount?, description: description? })
            }
            Movement::Debit => Operation::Debit(Debit { wallet_id: id?, amount: amount?, description: description? }),
            Movement::Transfer => {
                Operation::Transfer(Transfer { from: id?, to: to?, amount: amount?, description: description? })
            }
        };
        Some(Parsed { operation, wallet_id_made: false })
    }

    fn batch_item(&mut self, default: Currency, make_id: impl FnOnce() -> WalletId) -> Option<BatchItem> {
        use Member::{
            Amount, Currency, Description, IdempotencyKey, InitialBalance, OwnerId, ToWalletId, Type, WalletId,
        };
        let kind = self.required(Type).then(|| self.text(Type)).flatten()?;
        let (allowed, movement): (&[Member], _) = match &*kind {
            "create" => (&[Type, WalletId, OwnerId, InitialBalance, Currency, IdempotencyKey], None),
            "credit" => (&[Type, WalletId, Amount, Description, IdempotencyKey], Some(Movement::Credit)),
            "debit" => (&[Type, WalletId, Amount, Description, IdempotencyKey], Some(Movement::Debit)),
            "transfer" => {
                (&[Type, WalletId, ToWalletId, Amount, Description, IdempotencyKey], Some(Movement::Transfer))
            }
            _ => {
                self.wrong(Type, "format", "must be create, credit, debit or transfer");
                return None;
            }
        };
        self.members.allow_only(allowed, self.errors);
        let key = self.members.raw(IdempotencyKey).and_then(|_| self.key());
        let parsed = match movement {
            Some(movement) => self.movement(movement, None),
            None => self.create(default, make_id),
        };
        Some(BatchItem { parsed: parsed?, key })
    }

    fn wrong(&mut self, member: Member, code: &'static str, detail: impl Into<Cow<'static, str>>) {
        self.errors.push(FieldError::new(member.name(), code, detail));
    }

    fn required(&mut self, member: Member) -> bool {
        let there = self.members.raw(member).is_some();
        if !there {
            self.wrong(member, "required", "is missing");
        }
        there
    }

    /// The text of a member that is a JSON string.
    fn text(&mut self, member: Member) -> Option<Cow<'a, str>> {
        let raw = self.members.raw(member)?;
        let Some(inner) = raw.strip_prefix('"').and_then(|rest| rest.strip_suffix('"')) else {
            self.wrong(member, "type", "must be a string");
            return None;
        };
        if !inner.contains('\\') {
            return Some(Cow::Borrowed(inner));
        }
        match serde_json::from_str::<String>(raw) {
            Ok(text) => Some(Cow::Owned(text)),
            Err(_) => {
                self.wrong(member, "format", "has an escape sequence that is no Unicode text");
                None
            }
        }
    }

    fn id<T>(&mut self, member: Member, parse: fn(&str) -> Result<T, IdError>) -> Option<T> {
        let text = self.text(member)?;
        parse(&text).map_err(|error| self.wrong(member, "format", error.to_string())).ok()
    }

    fn currency(&mut self) -> Option<Currency> {
        let text = self.text(Member::Currency)?;
        Currency::parse(&text).map_err(|error| self.wrong(Member::Currency, "format", error.to_string())).ok()
    }

    fn key(&mut self) -> Option<String> {
        let text = self.text(Member::IdempotencyKey)?;
        match check_idempotency_key(&text) {
            Ok(()) => Some(text.into_owned()),
            Err(detail) => {
                self.wrong(Member::IdempotencyKey, "format", detail);
                None
            }
        }
    }

    /// Absent and empty are not the same: an empty description is kept.
    fn description(&mut self) -> Option<Option<Arc<str>>> {
        if self.members.raw(Member::Description).is_none() {
            return Some(None);
        }
        let text = self.text(Member::Description)?;
        if text.len() > DESCRIPTION_LENGTH_MAX && text.chars().count() > DESCRIPTION_LENGTH_MAX {
            let detail = format!("must have at most {DESCRIPTION_LENGTH_MAX} characters");
            self.wrong(Member::Description, "too-long", detail);
            return None;
        }
        if text.chars().any(char::is_control) {
            self.wrong(Member::Description, "format", "must not contain control characters");
            return None;
        }
        Some(Some(Arc::from(&*text)))
    }

    /// The digits of a sum of money: those in a JSON string, or the JSON number itself.
    fn digits(&mut self, member: Member) -> Option<Cow<'a, str>> {
        let raw = self.members.raw(member)?;
        match raw.as_bytes().first() {
            Some(b'"') => self.text(member),
            Some(b'-' | b'0'..=b'9') => Some(Cow::Borrowed(raw)),
            Some(_) | None => {
                self.wrong(member, "type", "must be a number, or a string with its digits");
                None
            }
        }
    }

    fn amount(&mut self) -> Option<Amount> {
        if !self.required(Member::Amount) {
            return None;
        }
        let digits = self.digits(Member::Amount)?;
        Amount::parse(&digits).map_err(|error| self.wrong_money(Member::Amount, &error)).ok()
    }

    /// Zero when absent. Without a valid currency everything but its decimal places is checked.
    fn initial_balance(&mut self, currency: Option<Currency>) -> Option<Money> {
        const MEMBER: Member = Member::InitialBalance;
        if self.members.raw(MEMBER).is_none() {
            return currency.map(Money::zero);
        }
        let digits = self.digits(MEMBER)?;
        match Money::parse(&digits, currency.unwrap_or(Currency::FINEST)) {
            Err(MoneyError::TooPrecise { .. }) if currency.is_none() => None,
            Ok(money) if money.is_negative() => {
                self.wrong(MEMBER, "negative", "must not be less than zero");
                None
            }
            Ok(money) if money.decimal() > Decimal::from(AMOUNT_MAX) => {
                self.wrong_money(MEMBER, &MoneyError::TooLarge { limit: AMOUNT_MAX });
                None
            }
            Ok(money) => currency.map(|_| money),
            Err(error) => {
                self.wrong_money(MEMBER, &error);
                None
            }
        }
    }

    fn wrong_money(&mut self, member: Member, error: &MoneyError) {
        let code = match error {
            MoneyError::NotANumber => "not-a-number",
            MoneyError::TooPrecise { .. } => "too-precise",
            MoneyError::NotPositive => "not-positive",
            MoneyError::TooLarge { .. } => "too-large",
        };
        self.wrong(member, code, error.to_string());
    }
}

#[cfg(test)]
#[path = "operations_tests.rs"]
mod tests;
