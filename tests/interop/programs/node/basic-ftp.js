// basic-ftp: basic-ftp.js VERB ARGUMENT...
const fs = require("fs");
const path = require("path");
const { Client } = require("basic-ftp");

// recipe
async function connect() {
  const client = new Client();
  await client.access({
    host: process.env.FTPS_HOST,
    port: Number(process.env.FTPS_PORT),
    user: process.env.FTPS_USER,
    password: process.env.FTPS_PASSWORD,
    secure: true,
  });
  return client;
}

const put = (client, local, remote) => client.uploadFrom(local, remote);

async function resume(client, local, remote) {
  const localStart = await client.size(remote);
  await client.appendFrom(local, remote, { localStart });
}

// The digest of what is stored, where the account may read.
const hash = async (client, remote) => (await client.send(`HASH ${remote}`)).message.split(" ")[3];
// end of recipe

async function some(directory, remote, first, step) {
  const client = await connect();
  const names = fs.readdirSync(directory).sort();
  for (let n = first; n < names.length; n += step) {
    await put(client, path.join(directory, names[n]), `${remote}/${names[n]}`);
  }
  client.close();
}

const verbs = {
  put,
  resume,
  hash: async (client, remote) => console.log(await hash(client, remote)),
  get: (client, remote, local) => client.downloadTo(local, remote),
  list: async (client, remote) => (await client.list(remote)).forEach((file) => console.log(file.name)),
  rename: (client, from, to) => client.rename(from, to),
  delete: (client, remote) => client.remove(remote),
};

async function main([verb, ...rest]) {
  if (verb === "version") {
    const version = JSON.parse(fs.readFileSync(path.join(process.env.NODE_PATH, "basic-ftp/package.json"))).version;
    console.log(`basic-ftp ${version}, Node ${process.version}`);
  } else if (verb === "puts") {
    await some(...rest, 0, 1);
  } else if (verb === "four") {
    await Promise.all([0, 1, 2, 3].map((n) => some(...rest, n, 4)));
  } else if (verb in verbs) {
    const client = await connect();
    await verbs[verb](client, ...rest);
    client.close();
  } else {
    process.exit(64);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
