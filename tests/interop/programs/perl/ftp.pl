# Net::FTP: perl ftp.pl as-it-comes|recipe VERB ARGUMENT...
use strict;
use warnings;
use Net::FTP;

my ($recipe, $verb, @arguments) = @ARGV;
reuse() if $recipe eq 'recipe';

# recipe
use IO::Socket::SSL;

# Net::FTP keeps the session under the host's name, and looks for it under the address and port of
# the data channel. This gives both the same key.
sub reuse {
    IO::Socket::SSL::set_args_filter_hack(sub {
        my ($is_server, $arguments) = @_;
        $arguments->{SSL_session_key} = $arguments->{SSL_verifycn_name} unless $is_server;
    });
}

sub connected {
    my $ftp = Net::FTP->new(
        $ENV{FTPS_HOST},
        Port        => $ENV{FTPS_PORT},
        Passive     => 1,
        Timeout     => 30,
        SSL_ca_file => $ENV{FTPS_CA},
    ) or die "no connection: $@\n";
    $ftp->starttls or die 'no TLS: ' . $ftp->message;
    $ftp->login($ENV{FTPS_USER}, $ENV{FTPS_PASSWORD}) or die 'no login: ' . $ftp->message;
    $ftp->prot('P') or die $ftp->message;
    $ftp->binary or die $ftp->message;
    return $ftp;
}

sub put {
    my ($ftp, $local, $remote) = @_;
    $ftp->put($local, $remote) or die $ftp->message;
}

sub resume {
    my ($ftp, $local, $remote) = @_;
    my $offset = $ftp->size($remote) // die $ftp->message;
    open my $file, '<:raw', $local or die "$local: $!\n";
    seek $file, $offset, 0;
    my $data = $ftp->appe($remote) or die $ftp->message;
    while (read $file, my $block, 65536) {
        $data->write($block, length $block, 60);
    }
    $data->close or die $ftp->message;
}

# The digest of what is stored, where the account may read.
sub digest {
    my ($ftp, $remote) = @_;
    $ftp->quot('HASH', $remote) == 2 or die $ftp->message;
    return (split ' ', $ftp->message)[2];
}

# end of recipe

sub puts {
    my ($ftp, $directory, $remote) = @_;
    for my $path (sort glob "$directory/*") {
        put($ftp, $path, $remote . '/' . ($path =~ s{.*/}{}r));
    }
}

sub ascii {
    my ($ftp, $local, $remote) = @_;
    $ftp->ascii;
    put($ftp, $local, $remote);
}

sub get {
    my ($ftp, $remote, $local) = @_;
    $ftp->get($remote, $local) or die $ftp->message;
}

sub list {
    my ($ftp, $remote) = @_;
    my $names = $ftp->ls($remote) or die $ftp->message;
    print "$_\n" for @$names;
}

sub rename_ {
    my ($ftp, $old, $new) = @_;
    $ftp->rename($old, $new) or die $ftp->message;
}

sub delete_ {
    my ($ftp, $remote) = @_;
    $ftp->delete($remote) or die $ftp->message;
}

my %verbs = (
    put => \&put, puts => \&puts, resume => \&resume, ascii => \&ascii, get => \&get, list => \&list,
    hash => sub { print digest(@_), "\n" }, rename => \&rename_, delete => \&delete_,
);
if ($verb eq 'version') {
    print "Net::FTP $Net::FTP::VERSION, IO::Socket::SSL $IO::Socket::SSL::VERSION, Perl $^V\n";
    exit 0;
}
my $act = $verbs{$verb} or exit 64;
my $ftp = connected();
$act->($ftp, @arguments);
$ftp->quit;
