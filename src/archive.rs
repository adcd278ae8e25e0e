//! The commands that work on whole stores: verify, repair, backup, restore.

use std::path::Path;
use std::process::ExitCode;

use base::clock::{Clock as _, SystemClock};
use serde::Deserialize;
use storage::StorageError;

/// The answer of `/api/v1/admin/tsdb/snapshot`.
#[derive(Deserialize)]
struct Answer {
    data: Snapshot,
}

#[derive(Deserialize)]
struct Snapshot {
    name: String,
}

/// Backs a store up, by a snapshot where a server is running on it.
pub(crate) fn backup(
    data_dir: &Path,
    to: &str,
    keep: usize,
    server: Option<&str>,
) -> Result<(), Box<dyn std::error::Error>> {
    let now_ms = SystemClock.now_ms();
    let report = match server {
        None => storage::backup(data_dir, to, keep, now_ms)?,
        Some(server) => {
            let copy = data_dir.join("snapshots").join(ask_for_snapshot(server)?);
            let done = storage::backup(&copy, to, keep, now_ms);
            std::fs::remove_dir_all(&copy)?;
            done?
        }
    };
    println!(
        "{}: {} files of {} bytes, of which {} of {} bytes were sent; {} older backups removed",
        report.name,
        report.files,
        report.bytes,
        report.sent_files,
        report.sent_bytes,
        report.removed
    );
    Ok(())
}

fn ask_for_snapshot(server: &str) -> Result<String, Box<dyn std::error::Error>> {
    let url = format!("{}/api/v1/admin/tsdb/snapshot", server.trim_end_matches('/'));
    let agent = ureq::Agent::config_builder().http_status_as_error(false).build().new_agent();
    let mut answer = agent.post(&url).send_empty()?;
    let status = answer.status();
    let text = answer.body_mut().read_to_string()?;
    if !status.is_success() {
        return Err(format!("{url}: {status}: {text}").into());
    }
    let answer: Answer = serde_json::from_str(&text)?;
    Ok(answer.data.name)
}

/// Makes a store from a backup.
pub(crate) fn restore(from: &str, name: Option<&str>, data_dir: &Path) -> Result<(), StorageError> {
    let report = storage::restore(from, name, data_dir)?;
    let (name, files, bytes) = (report.name, report.files, report.bytes);
    println!("{name}: {files} files of {bytes} bytes are in {}", data_dir.display());
    Ok(())
}

/// Says what is damaged; the exit code is 1 if anything is.
pub(crate) fn verify(data_dir: &Path) -> Result<ExitCode, StorageError> {
    let report = storage::verify(data_dir)?;
    for finding in &report.findings {
        println!("{finding}");
    }
    let (files, bytes, count) = (report.files, report.bytes, report.findings.len());
    println!("{files} files, {bytes} bytes, {count} damaged places");
    Ok(if count == 0 { ExitCode::SUCCESS } else { ExitCode::FAILURE })
}

/// Takes damage out and says what it was.
pub(crate) fn repair(data_dir: &Path) -> Result<ExitCode, StorageError> {
    let report = storage::repair(data_dir, SystemClock.now_ms())?;
    for finding in &report.findings {
        println!("found: {finding}");
    }
    for action in &report.actions {
        println!("done: {action}");
    }
    match &report.kept {
        Some(kept) => println!("the originals and this report are in {}", kept.display()),
        None => println!("nothing is damaged"),
    }
    Ok(ExitCode::SUCCESS)
}
