# net-ftp: ruby ftp.rb VERB ARGUMENT...
require "net/ftp"
require "openssl"

# recipe
def connect
  Net::FTP.new(
    ENV["FTPS_HOST"],
    port: ENV["FTPS_PORT"],
    username: ENV["FTPS_USER"],
    password: ENV["FTPS_PASSWORD"],
    ssl: { ca_file: ENV["FTPS_CA"] },
    passive: true,
    open_timeout: 30,
    read_timeout: 60,
  )
end

def put(ftp, local, remote)
  ftp.putbinaryfile(local, remote)
end

def resume(ftp, local, remote)
  ftp.resume = true # asks for the size, then REST and STOR
  ftp.putbinaryfile(local, remote)
end

# The digest of what is stored, where the account may read.
def digest(ftp, remote)
  ftp.sendcmd("HASH #{remote}").split[3]
end
# end of recipe

def puts_all(ftp, directory, remote)
  Dir.children(directory).sort.each { |name| put(ftp, "#{directory}/#{name}", "#{remote}/#{name}") }
end

VERBS = {
  "put" => method(:put),
  "puts" => method(:puts_all),
  "resume" => method(:resume),
  "hash" => ->(ftp, remote) { puts digest(ftp, remote) },
  "get" => ->(ftp, remote, local) { ftp.getbinaryfile(remote, local) },
  "list" => ->(ftp, remote) { puts ftp.nlst(remote) },
  "rename" => ->(ftp, old, new) { ftp.rename(old, new) },
  "delete" => ->(ftp, remote) { ftp.delete(remote) },
}.freeze

verb, *arguments = ARGV
if verb == "version"
  gem = Gem.loaded_specs["net-ftp"]
  puts "net-ftp #{gem ? gem.version : Net::FTP::VERSION}, Ruby #{RUBY_VERSION}"
elsif !VERBS.key?(verb)
  exit 64
else
  ftp = connect
  VERBS[verb].call(ftp, *arguments)
  ftp.close
end
