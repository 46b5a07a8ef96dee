//! What must be true after a round, as pure functions of what the chain and the results say.

use std::collections::BTreeMap;

use alloy::{
    primitives::{Address, Bytes},
    rpc::types::Log,
    sol_types::SolEventInterface as _,
};
use tilth_contracts::{JobBook::JobBookEvents, Ledger::LedgerEvents};

/// One range, as the chain's events tell it.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct RangeBook {
    pub from: u32,
    pub count: u32,
    pub provider: Address,
    pub submitted: u32,
    pub settled: u32,
    /// Times it was released or expired.
    pub returned: u32,
    pub paid: u128,
    pub fee: u128,
    pub bond: u128,
}

/// One job.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct JobBookPage {
    pub tasks: u32,
    pub done: u32,
    pub ranges: BTreeMap<u32, RangeBook>,
}

/// All jobs, by number.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Books(pub BTreeMap<u64, JobBookPage>);

/// Money at one moment, in base units.
#[derive(Clone, Debug, Default, PartialEq, Eq)]
pub struct Money {
    /// What the Ledger owes to each account, free and locked.
    pub owed: BTreeMap<Address, u128>,
    /// What each account has brought to the Ledger, less what it has taken out.
    pub brought: BTreeMap<Address, i128>,
    /// Tokens that the Ledger holds.
    pub held: u128,
}

/// Who is who.
#[derive(Clone, Copy, Debug)]
pub struct People {
    pub client: Address,
    pub treasury: Address,
}

impl Books {
    /// Reads all events of the contract from its first block on.
    pub fn read(logs: &[Log]) -> Result<Self, String> {
        let mut books = Self::default();
        for log in logs {
            let event = JobBookEvents::decode_log(&log.inner)
                .map_err(|error| format!("an event cannot be read: {error}"))?;
            books.enter(event.data)?;
        }
        Ok(books)
    }

    fn enter(&mut self, event: JobBookEvents) -> Result<(), String> {
        match event {
            JobBookEvents::JobOpened(e) => {
                let page = JobBookPage { tasks: e.terms.taskCount, ..JobBookPage::default() };
                self.0.insert(e.jobId, page);
            }
            JobBookEvents::JobDone(e) => self.page(e.jobId)?.done += 1,
            JobBookEvents::RangeClaimed(e) => {
                let (from, count, provider) = (e.from, e.count, e.provider);
                let range = RangeBook { from, count, provider, ..RangeBook::default() };
                if self.page(e.jobId)?.ranges.insert(e.seq, range).is_some() {
                    return Err(format!("range {}/{} was claimed twice", e.jobId, e.seq));
                }
            }
            JobBookEvents::RangeSubmitted(e) => self.range(e.jobId, e.seq)?.submitted += 1,
            JobBookEvents::RangeSettled(e) => {
                let range = self.range(e.jobId, e.seq)?;
                range.settled += 1;
                range.paid += e.paid;
                range.fee += e.fee;
            }
            JobBookEvents::RangeReleased(e) => self.give_back(e.jobId, e.seq, e.bond)?,
            JobBookEvents::RangeExpired(e) => self.give_back(e.jobId, e.seq, e.bond)?,
            _ => {}
        }
        Ok(())
    }

    fn give_back(&mut self, job: u64, seq: u32, bond: u128) -> Result<(), String> {
        let range = self.range(job, seq)?;
        range.returned += 1;
        range.bond += bond;
        Ok(())
    }

    fn page(&mut self, job: u64) -> Result<&mut JobBookPage, String> {
        self.0.get_mut(&job).ok_or(format!("job {job} was never opened"))
    }

    fn range(&mut self, job: u64, seq: u32) -> Result<&mut RangeBook, String> {
        let page = self.page(job)?;
        page.ranges.get_mut(&seq).ok_or(format!("range {job}/{seq} was never claimed"))
    }

    /// The jobs with so many tasks.
    pub fn with_tasks(&self, tasks: u32) -> impl Iterator<Item = u64> + '_ {
        self.0.iter().filter(move |(_, page)| page.tasks == tasks).map(|(job, _)| *job)
    }

    /// Jobs that are not done, with their numbers of tasks.
    pub fn open(&self) -> impl Iterator<Item = (u64, u32)> + '_ {
        self.0.iter().filter(|(_, page)| page.done == 0).map(|(job, page)| (*job, page.tasks))
    }

    fn ranges(&self) -> impl Iterator<Item = &RangeBook> {
        self.0.values().flat_map(|page| page.ranges.values())
    }
}

/// Every job is done, every task was settled in exactly one range, and no range ended twice.
pub fn each_task_once(books: &Books) -> Result<(), String> {
    for (job, page) in &books.0 {
        if page.done != 1 {
            return Err(format!("job {job} was ended {} times", page.done));
        }
        let mut settled = vec![0_u32; page.tasks as usize];
        for (seq, range) in &page.ranges {
            let ends = (range.submitted, range.settled, range.returned);
            if !matches!(ends, (1, 1, 0) | (0, 0, 1)) {
                return Err(format!(
                    "range {job}/{seq} was submitted {} times, settled {} times, returned {} times",
                    ends.0, ends.1, ends.2
                ));
            }
            for task in range.from..range.from + range.count {
                let task = settled.get_mut(task as usize);
                *task.ok_or(format!("range {job}/{seq} is outside its job"))? += range.settled;
            }
        }
        if let Some((task, times)) = settled.iter().enumerate().find(|(_, times)| **times != 1) {
            return Err(format!("task {task} of job {job} was settled {times} times"));
        }
    }
    Ok(())
}

/// The Ledger holds what it owes, and everybody has what the events say that they were paid.
pub fn money_adds_up(
    books: &Books,
    before: &Money,
    after: &Money,
    people: People,
) -> Result<(), String> {
    for (when, money) in [("before", before), ("after", after)] {
        let owed: u128 = money.owed.values().sum();
        let (brought, held) = (money.brought.values().sum::<i128>(), money.held);
        if owed != held || signed(held)? != brought {
            return Err(format!("{when}: the Ledger owes {owed}, holds {held}, got {brought}"));
        }
    }
    let gain = |money: &Money, account: Address| -> Result<i128, String> {
        let owed = signed(money.owed.get(&account).copied().unwrap_or(0))?;
        Ok(owed - money.brought.get(&account).copied().unwrap_or(0))
    };
    let change =
        |account| -> Result<i128, String> { Ok(gain(after, account)? - gain(before, account)?) };
    let mut due: BTreeMap<Address, i128> = BTreeMap::new();
    for range in books.ranges() {
        let (paid, bond) = (signed(range.paid)?, signed(range.bond)?);
        *due.entry(range.provider).or_default() += paid - bond;
    }
    for (provider, due) in due {
        let got = change(provider)?;
        if got != due {
            return Err(format!("provider {provider} got {got}, due were {due}"));
        }
    }
    let sum = |part: fn(&RangeBook) -> u128| signed(books.ranges().map(part).sum());
    let (fees, bonds) = (sum(|range| range.fee)?, sum(|range| range.bond)?);
    if change(people.treasury)? != fees {
        return Err(format!("the treasury got {}, fees were {fees}", change(people.treasury)?));
    }
    // Part of the bond of a range that came to nothing is the client's; the rest is burned.
    let (spent, cost) = (-change(people.client)?, sum(|range| range.paid)? + fees);
    if spent > cost || spent < cost - bonds {
        return Err(format!("the client spent {spent} for {cost}, bonds were {bonds}"));
    }
    Ok(())
}

/// A result is, bit for bit, that of an undisturbed run.
pub fn same_output(job: &str, got: &[u8], expected: &[u8]) -> Result<(), String> {
    let differs = got.iter().zip(expected).position(|(got, expected)| got != expected);
    match differs {
        Some(at) => Err(format!("the results of {job} differ from byte {at} on")),
        None if got.len() != expected.len() => {
            Err(format!("the results of {job} have {} bytes for {}", got.len(), expected.len()))
        }
        None => Ok(()),
    }
}

fn signed(amount: u128) -> Result<i128, String> {
    i128::try_from(amount).map_err(|_| format!("{amount} is more money than there can be"))
}

/// What accounts have brought to the Ledger, by its events, less what they have taken out.
pub fn brought(logs: &[Log]) -> Result<BTreeMap<Address, i128>, String> {
    let mut brought: BTreeMap<Address, i128> = BTreeMap::new();
    for log in logs {
        let event = LedgerEvents::decode_log(&log.inner)
            .map_err(|error| format!("an event cannot be read: {error}"))?;
        match event.data {
            LedgerEvents::Deposited(e) => {
                *brought.entry(e.account).or_default() += signed(e.amount)?;
            }
            LedgerEvents::Withdrawn(e) => {
                *brought.entry(e.account).or_default() -= signed(e.amount)?;
            }
            _ => {}
        }
    }
    Ok(brought)
}

/// The bytes of an answer as JSON-RPC writes it.
pub fn bytes(value: &serde_json::Value) -> Result<Bytes, String> {
    let text = value.as_str().ok_or("no text")?;
    text.parse().map_err(|error| format!("{text}: {error}"))
}

#[cfg(test)]
mod tests {
    use super::*;

    const CLIENT: Address = Address::repeat_byte(1);
    const TREASURY: Address = Address::repeat_byte(2);
    const PROVIDERS: [Address; 2] = [Address::repeat_byte(3), Address::repeat_byte(4)];
    const PEOPLE: People = People { client: CLIENT, treasury: TREASURY };

    /// A job of five tasks in two ranges, after a third one came to nothing.
    fn good() -> (Books, Money, Money) {
        let settled = |from, count, provider: usize| RangeBook {
            from,
            count,
            provider: PROVIDERS[provider],
            submitted: 1,
            settled: 1,
            paid: 90 * u128::from(count),
            fee: 10 * u128::from(count),
            ..RangeBook::default()
        };
        let lost = RangeBook {
            count: 2,
            provider: PROVIDERS[1],
            returned: 1,
            bond: 6,
            ..settled(0, 2, 1)
        };
        let lost = RangeBook { submitted: 0, settled: 0, paid: 0, fee: 0, ..lost };
        let ranges = BTreeMap::from([(0, lost), (1, settled(0, 2, 0)), (2, settled(2, 3, 1))]);
        let books = Books(BTreeMap::from([(1, JobBookPage { tasks: 5, done: 1, ranges })]));
        let money = |amounts: [u128; 5], second: i128| {
            let burned = Address::repeat_byte(0xde);
            let accounts = [CLIENT, TREASURY, PROVIDERS[0], PROVIDERS[1], burned];
            let owed: BTreeMap<_, _> = accounts.into_iter().zip(amounts).collect();
            let brought = [(CLIENT, 1000), (PROVIDERS[0], 50), (PROVIDERS[1], second)];
            Money { held: owed.values().sum(), owed, brought: BTreeMap::from(brought) }
        };
        // The second provider makes up for the bond that it lost.
        (books, money([1000, 0, 50, 50, 0], 50), money([503, 50, 230, 320, 3], 56))
    }

    #[test]
    fn a_round_in_order_is_accepted() {
        let (books, before, after) = good();
        each_task_once(&books).unwrap();
        money_adds_up(&books, &before, &after, PEOPLE).unwrap();
        same_output("a", b"0,ok,01\n", b"0,ok,01\n").unwrap();
    }

    #[test]
    fn one_base_unit_too_much_or_too_little_is_seen_at_every_account() {
        let (books, before, after) = good();
        for account in after.owed.keys().copied() {
            for more in [true, false] {
                let step =
                    |amount: &mut u128| *amount = if more { *amount + 1 } else { *amount - 1 };
                let mut wrong = after.clone();
                step(wrong.owed.get_mut(&account).unwrap());
                let error = money_adds_up(&books, &before, &wrong, PEOPLE).unwrap_err();
                assert!(error.contains("owes"), "{error}");
                // Tokens that came or went with it hide it from the sum, but not from who is due what.
                step(&mut wrong.held);
                let other = wrong.brought.entry(Address::repeat_byte(9)).or_default();
                *other += if more { 1 } else { -1 };
                let hidden = money_adds_up(&books, &before, &wrong, PEOPLE).is_ok();
                let unknown = account == Address::repeat_byte(0xde) || account == CLIENT;
                assert_eq!(hidden, unknown, "{account} {more}");
            }
        }
    }

    #[test]
    fn a_client_that_pays_for_more_than_it_got_is_seen() {
        let (books, before, after) = good();
        for step in [-4_i128, 4] {
            let mut wrong = after.clone();
            let owed = wrong.owed.get_mut(&CLIENT).unwrap();
            *owed = owed.checked_add_signed(step).unwrap();
            wrong.held = wrong.held.checked_add_signed(step).unwrap();
            wrong.brought.insert(Address::repeat_byte(9), step);
            let error = money_adds_up(&books, &before, &wrong, PEOPLE).unwrap_err();
            assert!(error.contains("the client spent"), "{error}");
        }
    }

    #[test]
    fn a_range_paid_twice_is_seen() {
        let (books, before, after) = good();
        let mut wrong = books.clone();
        wrong.0.get_mut(&1).unwrap().ranges.get_mut(&1).unwrap().settled = 2;
        assert!(each_task_once(&wrong).unwrap_err().contains("settled 2 times"));
        let mut wrong = books;
        wrong.0.get_mut(&1).unwrap().ranges.get_mut(&1).unwrap().paid *= 2;
        assert!(money_adds_up(&wrong, &before, &after, PEOPLE).unwrap_err().contains("due were"));
    }

    #[test]
    fn tasks_that_are_lost_or_done_twice_are_seen() {
        let (books, ..) = good();
        let change = |change: fn(&mut JobBookPage)| {
            let mut wrong = books.clone();
            change(wrong.0.get_mut(&1).unwrap());
            each_task_once(&wrong).unwrap_err()
        };
        assert!(change(|page| page.done = 0).contains("ended 0 times"));
        assert!(change(|page| page.tasks = 6).contains("task 5 of job 1 was settled 0 times"));
        assert!(change(|page| page.tasks = 4).contains("outside"));
        assert!(
            change(|page| {
                page.ranges.remove(&2);
            })
            .contains("settled 0 times")
        );
        let doubled = change(|page| {
            let range = page.ranges[&2].clone();
            page.ranges.insert(3, range);
        });
        assert!(doubled.contains("settled 2 times"), "{doubled}");
    }

    #[test]
    fn one_wrong_byte_of_output_is_seen() {
        assert!(same_output("a", b"0,ok,01\n", b"0,ok,11\n").unwrap_err().contains("byte 5"));
        assert!(same_output("a", b"0,ok,01\n", b"0,ok,01\n1").is_err());
        assert!(same_output("a", b"", b"0").is_err());
    }
}
