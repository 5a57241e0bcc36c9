//! Appends samples to `samples.bin`, and does nothing else while the load runs.
//!
//! Users append 40 bytes to a buffer in memory; one thread writes it out several times a second, so
//! that recording wakes nobody and the lab can read along. A kill loses at most the last interval,
//! and what is in the file always decodes.

use std::{
    fs::File,
    io::{self, Write},
    path::{Path, PathBuf},
    sync::{Arc, Condvar, Mutex, MutexGuard},
    thread,
    time::Duration,
};

use lab_core::sample::{FILE_HEADER, RequestSample};
use tokio::sync::Notify;

use crate::error::LoadError;

/// How often the buffer is written out. Chosen: the lab shows live figures twice a second.
const WRITE_INTERVAL: Duration = Duration::from_millis(100);

/// The open sample file of one generator.
#[derive(Debug)]
pub struct Recorder {
    path: PathBuf,
    file: Mutex<File>,
    buffer: Mutex<Buffer>,
    closing: Condvar,
    failed: Notify,
}

#[derive(Debug, Default)]
struct Buffer {
    unwritten: Vec<u8>,
    n_samples: u64,
    closed: bool,
    error: Option<io::Error>,
}

impl Recorder {
    /// Creates the file with its header, replacing what was there, and starts the writer.
    ///
    /// **Errors**: the file cannot be created or written, or no thread can be started.
    pub fn create(path: &Path) -> Result<Arc<Self>, LoadError> {
        let recorder = Arc::new(Self {
            path: path.to_owned(),
            file: Mutex::new(create_with_header(path).map_err(|source| samples(path, source))?),
            buffer: Mutex::default(),
            closing: Condvar::new(),
            failed: Notify::new(),
        });
        let writer = Arc::clone(&recorder);
        thread::Builder::new()
            .name("recorder".into())
            .spawn(move || writer.write_until_closed())
            .map_err(|source| LoadError::Spawn { what: "the recorder", source })?;
        Ok(recorder)
    }

    /// Appends one sample. Never blocks on the disk.
    pub fn record(&self, sample: &RequestSample) {
        let mut buffer = self.lock_buffer();
        buffer.unwritten.extend_from_slice(&sample.encode());
        buffer.n_samples += 1;
    }

    /// Returns when samples can no longer be written, and says why. Waits for ever otherwise.
    pub(crate) async fn failed(&self) -> LoadError {
        loop {
            self.failed.notified().await;
            if let Some(error) = self.lock_buffer().error.take() {
                return samples(&self.path, error);
            }
        }
    }

    /// Writes out what is recorded so far; returns how many samples that is in all.
    ///
    /// **Errors**: the disk is full or the file has become unwritable.
    pub fn flush(&self) -> Result<u64, LoadError> {
        self.write_out().map_err(|source| samples(&self.path, source))
    }

    /// Writes out everything, stops the writer and returns the number of samples in the file.
    ///
    /// **Errors**: some samples could not be written, now or earlier.
    pub(crate) fn finish(&self) -> Result<u64, LoadError> {
        let error = {
            let mut buffer = self.lock_buffer();
            buffer.closed = true;
            self.closing.notify_all();
            buffer.error.take()
        };
        match error {
            Some(source) => Err(samples(&self.path, source)),
            None => self.flush(),
        }
    }

    fn write_until_closed(&self) {
        loop {
            {
                let buffer = self.lock_buffer();
                let (buffer, _) = self
                    .closing
                    .wait_timeout_while(buffer, WRITE_INTERVAL, |it| !it.closed)
                    .expect("no holder of this lock panics");
                if buffer.closed {
                    return;
                }
            }
            if let Err(error) = self.write_out() {
                self.lock_buffer().error = Some(error);
                return self.failed.notify_one();
            }
        }
    }

    /// Writes the buffer to the file; returns the number of samples recorded up to then.
    fn write_out(&self) -> io::Result<u64> {
        // The file is locked first, so that two callers cannot write their parts out of order.
        let mut file = self.file.lock().expect("no holder of this lock panics");
        let (unwritten, n_samples) = {
            let mut buffer = self.lock_buffer();
            (std::mem::take(&mut buffer.unwritten), buffer.n_samples)
        };
        file.write_all(&unwritten)?;
        Ok(n_samples)
    }

    fn lock_buffer(&self) -> MutexGuard<'_, Buffer> {
        self.buffer.lock().expect("no holder of this lock panics")
    }
}

fn create_with_header(path: &Path) -> io::Result<File> {
    let mut file = File::create(path)?;
    file.write_all(&FILE_HEADER)?;
    Ok(file)
}

fn samples(path: &Path, source: io::Error) -> LoadError {
    LoadError::Samples { path: path.to_owned(), source }
}

#[cfg(test)]
mod tests {
    use lab_core::{outcome::Outcome, route::Route, sample::decode_file};

    use super::*;

    fn sample(arrival: u32) -> RequestSample {
        RequestSample {
            arrival,
            key: 0,
            route: Route::Home,
            outcome: Outcome::Success,
            served_by: None,
            status: 200,
            intended_at_ns: 1,
            sent_at_ns: 2,
            completed_at_ns: 3,
        }
    }

    #[test]
    fn what_is_recorded_is_in_the_file_in_order() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("samples.bin");
        let recorder = Recorder::create(&path).unwrap();
        assert_eq!(decode_file(&std::fs::read(&path).unwrap()), Ok(vec![]));
        recorder.record(&sample(1));
        assert_eq!(recorder.flush().unwrap(), 1);
        assert_eq!(decode_file(&std::fs::read(&path).unwrap()), Ok(vec![sample(1)]));
        recorder.record(&sample(2));
        assert_eq!(recorder.finish().unwrap(), 2);
        assert_eq!(decode_file(&std::fs::read(&path).unwrap()), Ok(vec![sample(1), sample(2)]));
    }

    #[test]
    fn a_path_that_is_not_writable_is_named_in_one_line() {
        let folder = tempfile::tempdir().unwrap();
        let path = folder.path().join("missing/samples.bin");
        let error = Recorder::create(&path).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("missing/samples.bin"), "{error}");
        assert!(!error.to_string().contains('\n'), "{error}");
    }

    // /dev/full accepts an open and refuses every write, as a full disk does.
    #[test]
    fn a_full_disk_is_told_at_once() {
        let error = Recorder::create(Path::new("/dev/full")).unwrap_err();
        assert_eq!(error.exit_code(), 4);
        assert!(error.to_string().contains("/dev/full"), "{error}");
    }
}
