// promise-ftp: promise-ftp.js VERB ARGUMENT...
const fs = require("fs");
const path = require("path");
const PromiseFtp = require("promise-ftp");

// recipe
async function connect() {
  const client = new PromiseFtp();
  await client.connect({
    host: process.env.FTPS_HOST,
    port: Number(process.env.FTPS_PORT),
    user: process.env.FTPS_USER,
    password: process.env.FTPS_PASSWORD,
    secure: true,
    secureOptions: { host: process.env.FTPS_HOST }, // the name that the certificate is for
  });
  return client;
}

const put = (client, local, remote) => client.put(local, remote);

async function resume(client, local, remote) {
  const start = await client.size(remote);
  await client.append(fs.createReadStream(local, { start }), remote);
}
// end of recipe

async function some(directory, remote, first, step) {
  const client = await connect();
  const names = fs.readdirSync(directory).sort();
  for (let n = first; n < names.length; n += step) {
    await put(client, path.join(directory, names[n]), `${remote}/${names[n]}`);
  }
  await client.end();
}

const verbs = {
  put,
  resume,
  get: async (client, remote, local) => {
    const stream = await client.get(remote);
    await new Promise((resolve, reject) =>
      stream.on("error", reject).pipe(fs.createWriteStream(local)).on("finish", resolve),
    );
  },
  list: async (client, remote) => (await client.list(remote)).forEach((file) => console.log(file.name)),
  rename: (client, from, to) => client.rename(from, to),
  delete: (client, remote) => client.delete(remote),
};

async function main([verb, ...rest]) {
  if (verb === "version") {
    const version = JSON.parse(fs.readFileSync(path.join(process.env.NODE_PATH, "promise-ftp/package.json"))).version;
    console.log(`promise-ftp ${version}, Node ${process.version}`);
  } else if (verb === "puts") {
    await some(...rest, 0, 1);
  } else if (verb === "four") {
    await Promise.all([0, 1, 2, 3].map((n) => some(...rest, n, 4)));
  } else if (verb in verbs) {
    const client = await connect();
    await verbs[verb](client, ...rest);
    await client.end();
  } else {
    process.exit(64);
  }
}

main(process.argv.slice(2)).catch((error) => {
  console.error(error.message);
  process.exit(1);
});
