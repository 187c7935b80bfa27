//! suppaftp: deliver TLS VERB ARGUMENT..., where TLS is "rustls", "rustls12" or "native-tls".

use std::env;
use std::error::Error;
use std::fs::{self, File};
use std::io::{self, BufReader, Seek, SeekFrom};
use std::path::PathBuf;
use std::sync::Arc;
use std::thread;

use suppaftp::native_tls;
use suppaftp::rustls;
use suppaftp::{
    ImplFtpStream, NativeTlsConnector, NativeTlsFtpStream, RustlsConnector, RustlsFtpStream,
    TlsStream,
};

type Done<T = ()> = Result<T, Box<dyn Error + Send + Sync>>;

fn setting(name: &str) -> String {
    env::var(name).unwrap_or_default()
}

fn address() -> String {
    format!("{}:{}", setting("FTPS_HOST"), setting("FTPS_PORT"))
}

// recipe
type Versions<'a> = &'a [&'static rustls::SupportedProtocolVersion];

/// For each FTP session one of its own: it holds the TLS session that data channels resume. (Where
/// several share one, a data channel may offer that of a session which has ended, and is refused.)
fn configuration(versions: Versions<'_>) -> Done<Arc<rustls::ClientConfig>> {
    let mut roots = rustls::RootCertStore::empty();
    for certificate in rustls_pemfile::certs(&mut BufReader::new(File::open(setting("FTPS_CA"))?)) {
        roots.add(certificate?)?;
    }
    Ok(Arc::new(
        rustls::ClientConfig::builder_with_protocol_versions(versions)
            .with_root_certificates(roots)
            .with_no_client_auth(),
    ))
}

fn connect(versions: Versions<'_>) -> Done<RustlsFtpStream> {
    let connector = RustlsConnector::from(configuration(versions)?);
    let mut ftp = RustlsFtpStream::connect(address())?.into_secure(connector, &setting("FTPS_HOST"))?;
    ftp.login(setting("FTPS_USER"), setting("FTPS_PASSWORD"))?;
    ftp.transfer_type(suppaftp::types::FileType::Binary)?;
    Ok(ftp)
}

fn put<T: TlsStream>(ftp: &mut ImplFtpStream<T>, local: &str, remote: &str) -> Done {
    ftp.put_file(remote, &mut File::open(local)?)?;
    Ok(())
}

fn resume<T: TlsStream>(ftp: &mut ImplFtpStream<T>, local: &str, remote: &str) -> Done {
    let offset = ftp.size(remote)?;
    let mut file = File::open(local)?;
    file.seek(SeekFrom::Start(offset as u64))?;
    ftp.resume_transfer(offset)?;
    ftp.put_file(remote, &mut file)?;
    Ok(())
}

/// The digest of what is stored, where the account may read.
fn hash<T: TlsStream>(ftp: &mut ImplFtpStream<T>, remote: &str) -> Done<String> {
    let reply = ftp.custom_command(format!("HASH {remote}"), &[suppaftp::Status::File])?;
    Ok(String::from_utf8(reply.body)?)
}
// end of recipe

fn connect_native() -> Done<NativeTlsFtpStream> {
    let ca = native_tls::Certificate::from_pem(&fs::read(setting("FTPS_CA"))?)?;
    let tls = native_tls::TlsConnector::builder().add_root_certificate(ca).build()?;
    let mut ftp = NativeTlsFtpStream::connect(address())?
        .into_secure(NativeTlsConnector::from(tls), &setting("FTPS_HOST"))?;
    ftp.login(setting("FTPS_USER"), setting("FTPS_PASSWORD"))?;
    ftp.transfer_type(suppaftp::types::FileType::Binary)?;
    Ok(ftp)
}

fn get<T: TlsStream>(ftp: &mut ImplFtpStream<T>, remote: &str, local: &str) -> Done {
    let mut stream = ftp.retr_as_stream(remote)?;
    io::copy(&mut stream, &mut File::create(local)?)?;
    stream.finish()?;
    Ok(())
}

fn files(directory: &str) -> Done<Vec<PathBuf>> {
    let mut paths: Vec<_> = fs::read_dir(directory)?.map(|e| e.map(|e| e.path())).collect::<Result<_, _>>()?;
    paths.sort();
    Ok(paths)
}

/// Every step-th file of a directory, in one session.
fn some<T: TlsStream>(ftp: &mut ImplFtpStream<T>, arguments: &[String], first: usize, step: usize) -> Done {
    for path in files(&arguments[0])?.iter().skip(first).step_by(step) {
        let name = path.file_name().unwrap_or_default().to_string_lossy();
        put(ftp, &path.to_string_lossy(), &format!("{}/{name}", arguments[1]))?;
    }
    Ok(())
}

fn four<T: TlsStream + 'static>(
    connect: impl Fn() -> Done<ImplFtpStream<T>> + Sync,
    arguments: &[String],
) -> Done {
    let connect = &connect;
    thread::scope(|scope| {
        let sessions: Vec<_> = (0..4)
            .map(|n| scope.spawn(move || some(&mut connect()?, arguments, n, 4)))
            .collect();
        sessions.into_iter().try_for_each(|session| session.join().unwrap())
    })
}

fn run<T: TlsStream + 'static>(
    connect: impl Fn() -> Done<ImplFtpStream<T>> + Sync,
    verb: &str,
    arguments: &[String],
) -> Done {
    if verb == "four" {
        return four(connect, arguments);
    }
    let mut ftp = connect()?;
    match verb {
        "put" => put(&mut ftp, &arguments[0], &arguments[1])?,
        "puts" => some(&mut ftp, arguments, 0, 1)?,
        "resume" => resume(&mut ftp, &arguments[0], &arguments[1])?,
        "hash" => println!("{}", hash(&mut ftp, &arguments[0])?),
        "get" => get(&mut ftp, &arguments[0], &arguments[1])?,
        "list" => println!("{}", ftp.nlst(Some(&arguments[0]))?.join("\n")),
        "rename" => ftp.rename(&arguments[0], &arguments[1])?,
        "delete" => ftp.rm(&arguments[0])?,
        _ => std::process::exit(64),
    }
    ftp.quit()?;
    Ok(())
}

fn main() {
    if let Err(error) = deliver() {
        eprintln!("{error}");
        std::process::exit(1);
    }
}

fn deliver() -> Done {
    let arguments: Vec<String> = env::args().skip(1).collect();
    let (tls, verb, rest) = (arguments[0].as_str(), arguments[1].as_str(), &arguments[2..]);
    if verb == "version" {
        let mut pinned = include_str!("../Cargo.lock").lines();
        pinned.find(|line| *line == "name = \"suppaftp\"");
        println!("suppaftp {}, {tls}", pinned.next().unwrap_or_default().replace("version = ", "").replace('"', ""));
        return Ok(());
    }
    match tls {
        "native-tls" => run(connect_native, verb, rest),
        "rustls12" => run(|| connect(&[&rustls::version::TLS12]), verb, rest),
        _ => run(|| connect(rustls::ALL_VERSIONS), verb, rest),
    }
}
