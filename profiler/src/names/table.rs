//! Which name a container had asked for when it got an address.

use std::collections::HashMap;
use std::net::IpAddr;
use std::time::Duration;

use baselines::dns::DnsName;

/// How long an address is taken to be the name's, however soon an answer says that it is not any more: programs go on with
/// addresses that they have, and pools of connections and virtual machines keep them for minutes.
const GOOD_FOR_LEAST: Duration = Duration::from_mins(10);
/// And however late: nobody resolves more seldom on purpose (RFC 8767, 4 has caches keep nothing for more than seven days).
const GOOD_FOR_MOST: Duration = Duration::from_hours(24);
/// How long it is remembered beyond that: connections are counted some seconds after they were made.
const REMEMBERED: Duration = Duration::from_mins(1);
/// How many names of one address are remembered.
const OF_ADDRESS_MAX: usize = 8;
/// How many names are remembered in all, with their addresses: some 4 MiB.
pub(super) const NAMES_MAX: usize = 16_384;
/// Long names count several times: once more for each so many bytes.
const NAME_BYTES: usize = 64;

/// An answer, of one address.
#[derive(Debug)]
struct Heard {
    name: DnsName,
    /// Boot clock, ns.
    from: u64,
    until: u64,
}

impl Heard {
    /// How many names' room it takes.
    fn room(&self) -> usize {
        1 + self.name.as_str().len() / NAME_BYTES
    }
}

/// The names of a container's addresses.
type OfContainer = HashMap<IpAddr, Vec<Heard>>;

/// What containers were answered.
#[derive(Debug)]
pub struct Table {
    containers: HashMap<u64, OfContainer>,
    /// How much room all take.
    count: usize,
    max: usize,
    /// How many were forgotten for lack of room.
    no_room: u64,
}

impl Default for Table {
    fn default() -> Self {
        Self::new(NAMES_MAX)
    }
}

impl Table {
    pub(super) fn new(max: usize) -> Self {
        Self {
            containers: HashMap::new(),
            count: 0,
            max,
            no_room: 0,
        }
    }

    /// A container was told `at` a moment (boot clock, ns) that a name has an address, for so many seconds.
    pub(super) fn hear(&mut self, container: u64, name: &DnsName, address: IpAddr, seconds: u32, at: u64) {
        // With the highest bit it means 0 (RFC 2181, 8).
        let seconds = if seconds > i32::MAX.cast_unsigned() { 0 } else { seconds };
        let good_for = Duration::from_secs(seconds.into()).clamp(GOOD_FOR_LEAST, GOOD_FOR_MOST);
        let until = at.saturating_add(nanos(good_for));
        let names = self
            .containers
            .entry(container)
            .or_default()
            .entry(address.to_canonical())
            .or_default();
        // Again, as mostly.
        if let Some(last) = names.last_mut().filter(|last| last.name == *name) {
            last.until = last.until.max(until);
            return;
        }
        if names.len() >= OF_ADDRESS_MAX {
            // First of all what is said once more by a later one.
            let repeated = names
                .iter()
                .enumerate()
                .position(|(index, heard)| names.iter().skip(index + 1).any(|later| later.name == heard.name));
            let oldest = names.remove(repeated.unwrap_or(0));
            self.count -= oldest.room();
            let is_missed = repeated.is_none() && oldest.name != *name && oldest.until >= at;
            self.no_room = self.no_room.saturating_add(is_missed.into());
        }
        let heard = Heard {
            name: name.clone(),
            from: at,
            until,
        };
        self.count += heard.room();
        names.push(heard);
        if self.count > self.max {
            self.make_room(at);
        }
    }

    /// The name that a container had asked for most recently when it used an address `at` a moment, and whether the address
    /// had another one then.
    pub(super) fn name_of(&self, container: u64, address: IpAddr, at: u64) -> Option<(DnsName, bool)> {
        let heard = self.containers.get(&container)?.get(&address.to_canonical())?;
        let good = || heard.iter().filter(|heard| (heard.from..=heard.until).contains(&at));
        let last = good().max_by_key(|heard| heard.from)?;
        Some((last.name.clone(), good().any(|other| other.name != last.name)))
    }

    /// How many names were forgotten for lack of room since the last call.
    pub(super) fn take_no_room(&mut self) -> u64 {
        std::mem::take(&mut self.no_room)
    }

    /// Forgets what is not good any more; and if nothing is, the older half of the container with the most: who asks for many
    /// takes nobody else's room.
    fn make_room(&mut self, now: u64) {
        let is_good = |heard: &Heard| heard.until.saturating_add(nanos(REMEMBERED)) >= now;
        for names in self.containers.values_mut().flat_map(HashMap::values_mut) {
            names.retain(is_good);
        }
        self.tidy();
        if self.count <= self.max / 2 {
            return;
        }
        let Some(largest) = self.containers.values_mut().max_by_key(|addresses| room(addresses)) else {
            return;
        };
        let mut times: Vec<u64> = largest.values().flatten().map(|heard| heard.from).collect();
        let middle = times.len() / 2;
        let (_, median, _) = times.select_nth_unstable(middle);
        let median = *median;
        let mut forgotten = 0;
        for names in largest.values_mut() {
            let before = names.len();
            names.retain(|heard| heard.from > median);
            forgotten += before - names.len();
        }
        self.tidy();
        self.no_room = self.no_room.saturating_add(forgotten as u64);
    }

    fn tidy(&mut self) {
        for addresses in self.containers.values_mut() {
            addresses.retain(|_, names| !names.is_empty());
        }
        self.containers.retain(|_, addresses| !addresses.is_empty());
        self.count = self.containers.values().map(room).sum();
    }
}

/// How much room the names of a container take.
fn room(addresses: &OfContainer) -> usize {
    addresses.values().flatten().map(Heard::room).sum()
}

fn nanos(time: Duration) -> u64 {
    u64::try_from(time.as_nanos()).unwrap_or(u64::MAX)
}

#[cfg(test)]
mod tests {
    use super::*;

    const ADDRESS: IpAddr = IpAddr::V4(std::net::Ipv4Addr::new(192, 0, 2, 1));

    fn at(second: u64) -> u64 {
        second * 1_000_000_000
    }

    fn name(text: &str) -> DnsName {
        text.parse().unwrap()
    }

    fn told(table: &Table, container: u64, second: u64) -> String {
        match table.name_of(container, ADDRESS, at(second)) {
            None => "-".to_owned(),
            Some((name, false)) => name.to_string(),
            Some((name, true)) => format!("{name} or another"),
        }
    }

    #[test]
    fn an_address_has_the_name_that_was_asked_for_last_as_long_as_it_is_good() {
        let mut table = Table::default();
        // Second, name, seconds that it is good for.
        for (second, text, seconds) in [
            (100, "a", 30),
            (200, "b", 3600),
            (300, "b", 1),
            (90_000, "c", i32::MAX.cast_unsigned()),
        ] {
            table.hear(1, &name(text), ADDRESS, seconds, at(second));
        }
        let cases = [
            (99, "-"),
            (100, "a"),
            (199, "a"),
            (200, "b or another"),
            (700, "b or another"),
            (701, "b"),
            (3800, "b"),
            (3801, "-"),
            (89_999, "-"),
            (90_000 + 86_400, "c"),
            (90_001 + 86_400, "-"),
        ];
        for (second, expected) in cases {
            assert_eq!(told(&table, 1, second), expected, "{second}");
        }
        assert_eq!(told(&table, 2, 100), "-");
        let mapped = "::ffff:192.0.2.1".parse().unwrap();
        assert_eq!(table.name_of(1, mapped, at(100)).unwrap().0, name("a"));
    }

    #[test]
    fn a_time_with_the_highest_bit_is_none() {
        let mut table = Table::default();
        table.hear(1, &name("a"), ADDRESS, u32::MAX, at(0));
        assert_eq!(
            (told(&table, 1, 600).as_str(), told(&table, 1, 601).as_str()),
            ("a", "-")
        );
    }

    #[test]
    fn names_that_take_turns_push_nobody_out() {
        let mut table = Table::default();
        table.hear(1, &name("c"), ADDRESS, 1, at(0));
        for second in 0..100 {
            table.hear(1, &name(["a", "b"][second % 2]), ADDRESS, 1, at(second as u64));
        }
        assert_eq!((table.count, table.take_no_room()), (OF_ADDRESS_MAX, 0));
        assert_eq!(told(&table, 1, 99), "b or another");
        assert!(
            table.containers[&1][&ADDRESS]
                .iter()
                .any(|heard| heard.name == name("c"))
        );
    }

    #[test]
    fn a_name_that_is_heard_again_takes_no_more_room() {
        let mut table = Table::default();
        for second in 0..100 {
            table.hear(1, &name("a"), ADDRESS, 1, at(second));
        }
        assert_eq!((table.count, told(&table, 1, 698).as_str()), (1, "a"));
        // Of very many names the last ones count.
        for second in 0..100 {
            table.hear(1, &name(&format!("n{second}")), ADDRESS, 1, at(second));
        }
        assert_eq!((table.count, table.take_no_room()), (OF_ADDRESS_MAX, 93));
        assert_eq!(told(&table, 1, 99), "n99 or another");
    }

    #[test]
    fn long_names_take_the_room_of_several() {
        let mut table = Table::new(100);
        let long = name(&"x".repeat(10 * NAME_BYTES));
        for n in 0..1_000_u32 {
            table.hear(1, &long, IpAddr::from(n.to_be_bytes()), 1, at(1) + u64::from(n));
            assert!(table.count <= 100 && table.count == room(&table.containers[&1]));
        }
        assert!(table.containers[&1].len() <= 9);
    }

    #[test]
    fn who_asks_for_many_takes_nobody_elses_room() {
        let mut table = Table::new(100);
        table.hear(1, &name("quiet"), ADDRESS, 1, at(1));
        let address = |n: u32| IpAddr::from((0x0a00_0000 + n).to_be_bytes());
        for n in 0..10_000 {
            table.hear(2, &name("loud"), address(n), 1, at(2) + u64::from(n));
            assert!(table.count <= 100);
        }
        assert_eq!(told(&table, 1, 2), "quiet");
        assert_eq!(table.name_of(2, address(9_999), at(3)).unwrap().0, name("loud"));
        assert_eq!(table.take_no_room() + table.count as u64, 10_001);
        // What is not good any more goes first, and nothing is lost by that.
        table.hear(3, &name("late"), ADDRESS, 1, at(5_000));
        while table.containers.contains_key(&2) {
            let n = u32::try_from(table.count).unwrap();
            table.hear(4, &name("later"), address(n), 1, at(5_000));
        }
        assert_eq!((table.take_no_room(), told(&table, 1, 2).as_str()), (0, "-"));
    }
}
