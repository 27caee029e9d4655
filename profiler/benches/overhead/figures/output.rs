//! What other tools write.

/// How many events with an object (a path, a port) the output stands for: a line each, or bpftrace's `@[object]: count`.
pub(crate) fn mentions(output: &str, object: &str) -> u64 {
    let names = |line: &&str| {
        line.split([' ', '\t', ',', '"', '[', ']', '(', ')'])
            .any(|word| word == object)
    };
    output
        .lines()
        .filter(names)
        .map(|line| {
            line.rsplit_once("]: ")
                .and_then(|(_, count)| count.parse().ok())
                .unwrap_or(1)
        })
        .sum()
}

/// The line that says why a tool ended at once: the first error of all, or the last line with more than a word.
pub(crate) fn reason(output: &str) -> Option<&str> {
    // bpftrace says this first, and goes on.
    let lines = || {
        output
            .lines()
            .filter(|line| !line.contains("RLIMIT_MEMLOCK") && line.contains(' '))
    };
    let failed = lines().find(|line| {
        ["failed", "ERROR: ", "No such file"]
            .iter()
            .any(|sign| line.contains(sign))
    });
    failed.or_else(|| lines().next_back()).map(str::trim)
}
