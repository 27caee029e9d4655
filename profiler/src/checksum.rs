//! What tells whether a file is the one that was meant.

use std::fs::File;
use std::io::{self, Read as _};

use sha2::{Digest as _, Sha256};

/// The SHA-256 (FIPS 180-4) of a file from here on, in hexadecimal, and how many bytes that are.
///
/// # Errors
/// What the system says.
///
/// ```
/// let mut file = tempfile::tempfile()?;
/// let (checksum, bytes) = profiler::checksum::of(&mut file)?;
/// assert_eq!(checksum, "e3b0c44298fc1c149afbf4c8996fb92427ae41e4649b934ca495991b7852b855");
/// assert_eq!(bytes, 0);
/// # Ok::<(), std::io::Error>(())
/// ```
pub fn of(file: &mut File) -> io::Result<(String, u64)> {
    let (mut hash, mut buffer, mut bytes) = (Sha256::new(), vec![0; 256 * 1024], 0_u64);
    loop {
        let read = file.read(&mut buffer)?;
        let Some(read) = buffer.get(..read).filter(|read| !read.is_empty()) else {
            return Ok((format!("{:x}", hash.finalize()), bytes));
        };
        hash.update(read);
        bytes += read.len() as u64;
    }
}
