//! What the first query would wait for otherwise, done once the server is ready and nobody waits.
//!
//! Only processor and disk are used, and the system's own memory: nothing is held.

use std::fs::File;
use std::io;
use std::ops::Range;
use std::os::unix::fs::FileExt as _;

/// Bytes of the program that are read at once.
const PIECE_BYTES: usize = 256 << 10;

/// Gives back the memory that reading the log took, makes the tables of the languages, and has the system
/// read the program.
pub(crate) fn prepare() {
    crate::allocator::give_memory_back();
    server::prepare_promql();
    if let Err(error) = read_program() {
        tracing::debug!(%error, "the program is read from the disk as it runs");
    }
}

/// Reads what is mapped of the program's file: code that has not run since the file fell out of the
/// system's memory comes from the disk piece by piece, fifty for a first query, each waited for.
fn read_program() -> io::Result<()> {
    let program = std::env::current_exe()?;
    let maps = std::fs::read_to_string("/proc/self/maps")?;
    let file = File::open(&program)?;
    let mut buffer = vec![0; PIECE_BYTES];
    for part in mapped_parts(&maps, &program.to_string_lossy()) {
        let mut at = part.start;
        while at < part.end {
            let piece = PIECE_BYTES.min((part.end - at) as usize);
            match file.read_at(&mut buffer[..piece], at)? {
                0 => break,
                count => at += count as u64,
            }
        }
    }
    Ok(())
}

/// The parts of `file` that stand in `maps`, a text as Linux's `/proc/self/maps`.
fn mapped_parts(maps: &str, file: &str) -> Vec<Range<u64>> {
    // 7f0000001000-7f0000003000 r-xp 00002000 fe:00 4711      /path of the file
    let part = |line: &str| {
        let (fields, _) = line.split_at_checked(line.len().checked_sub(file.len())?)?;
        let mut fields = line.ends_with(file).then_some(fields)?.split_ascii_whitespace();
        let (start, end) = fields.next()?.split_once('-')?;
        let [start, end, offset] =
            [start, end, fields.nth(1)?].map(|hex| u64::from_str_radix(hex, 16));
        // Device and number of the file, then its path and nothing else in front.
        if fields.count() != 2 {
            return None;
        }
        let (start, end, offset) = (start.ok()?, end.ok()?, offset.ok()?);
        Some(offset..offset.checked_add(end.checked_sub(start)?)?)
    };
    maps.lines().filter_map(part).collect()
}

#[cfg(test)]
mod tests {
    use super::*;

    #[test]
    fn parts_are_those_of_the_file() {
        let maps = "5500000-5502000 r--p 00000000 fe:00 4711    /usr/bin/a b\n\
                    5502000-5505000 r-xp 00002000 fe:00 4711    /usr/bin/a b\n\
                    5505000-5506000 rw-p 00000000 00:00 0 \n\
                    7f00000-7f01000 r-xp 00001000 fe:00 12      /lib/usr/bin/a b\n\
                    7f02000-7f03000 r-xp 00001000 fe:00 12      /lib/c.so\n\
                    7f04000-7f03000 r-xp 00001000 fe:00 12      /usr/bin/a b\n\
                    xx /usr/bin/a b\n";
        assert_eq!(mapped_parts(maps, "/usr/bin/a b"), [0..0x2000, 0x2000..0x5000]);
    }

    #[test]
    #[cfg(target_os = "linux")]
    fn the_running_program_has_parts() {
        let program = std::env::current_exe().unwrap();
        let maps = std::fs::read_to_string("/proc/self/maps").unwrap();
        let parts = mapped_parts(&maps, &program.to_string_lossy());
        let length = std::fs::metadata(&program).unwrap().len();
        assert!(!parts.is_empty() && parts.iter().all(|part| part.start < length), "{maps}");
        read_program().unwrap();
    }
}
