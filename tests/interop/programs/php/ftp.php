<?php
// PHP's ftp extension: php ftp.php VERB ARGUMENT...

set_error_handler(function ($severity, $message) {
    throw new ErrorException($message, 0, $severity);
});

// recipe
// ftp_ssl_connect() checks no certificate; where that matters, PHP's curl extension does.
function connect()
{
    $ftp = ftp_ssl_connect(getenv('FTPS_HOST'), (int) getenv('FTPS_PORT'), 30);
    ftp_login($ftp, getenv('FTPS_USER'), getenv('FTPS_PASSWORD'));
    ftp_pasv($ftp, true);
    return $ftp;
}

function put($ftp, $local, $remote)
{
    ftp_put($ftp, $remote, $local, FTP_BINARY);
}

function resume($ftp, $local, $remote)
{
    ftp_put($ftp, $remote, $local, FTP_BINARY, FTP_AUTORESUME);
}

// The digest of what is stored, where the account may read.
function digest($ftp, $remote)
{
    return explode(' ', ftp_raw($ftp, "HASH $remote")[0])[3];
}
// end of recipe

function puts($ftp, $directory, $remote)
{
    foreach (array_diff(scandir($directory), ['.', '..']) as $name) {
        put($ftp, "$directory/$name", "$remote/$name");
    }
}

function get($ftp, $remote, $local)
{
    ftp_get($ftp, $local, $remote, FTP_BINARY);
}

function names($ftp, $remote)
{
    echo implode("\n", ftp_nlist($ftp, $remote)), "\n";
}

$functions = [
    'put' => 'put', 'puts' => 'puts', 'resume' => 'resume', 'get' => 'get', 'list' => 'names',
    'ascii' => fn ($ftp, $local, $remote) => ftp_put($ftp, $remote, $local, FTP_ASCII),
    'hash' => fn ($ftp, $remote) => print(digest($ftp, $remote) . "\n"),
    'rename' => 'ftp_rename', 'delete' => 'ftp_delete',
];
$verb = $argv[1];
if ($verb === 'version') {
    echo 'PHP ', PHP_VERSION, "\n";
} elseif (!isset($functions[$verb])) {
    exit(64);
} else {
    try {
        $ftp = connect();
        $functions[$verb]($ftp, ...array_slice($argv, 2));
        ftp_close($ftp);
    } catch (Throwable $error) {
        fwrite(STDERR, $error->getMessage() . "\n");
        exit(1);
    }
}
