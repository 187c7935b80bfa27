// ftp, and @icetee/ftp, its younger sister: ftp.js MODULE VERB ARGUMENT...
const fs = require("fs");
const path = require("path");
const { promisify } = require("util");

const [module_, verb, ...rest] = process.argv.slice(2);
const Client = require(module_);

// recipe
function connect() {
  const client = new Client();
  return new Promise((resolve, reject) => {
    client.once("ready", () => resolve(client)).once("error", reject);
    client.connect({
      host: process.env.FTPS_HOST,
      port: Number(process.env.FTPS_PORT),
      user: process.env.FTPS_USER,
      password: process.env.FTPS_PASSWORD,
      secure: true,
      secureOptions: { host: process.env.FTPS_HOST }, // the name that the certificate is for
    });
  });
}

const put = (client, local, remote) => promisify(client.put.bind(client))(local, remote);

async function resume(client, local, remote) {
  const start = await promisify(client.size.bind(client))(remote);
  await promisify(client.append.bind(client))(fs.createReadStream(local, { start }), remote);
}
// end of recipe

async function some(directory, remote, first, step) {
  const client = await connect();
  const names = fs.readdirSync(directory).sort();
  for (let n = first; n < names.length; n += step) {
    await put(client, path.join(directory, names[n]), `${remote}/${names[n]}`);
  }
  client.end();
}

const verbs = {
  put,
  resume,
  get: async (client, remote, local) => {
    const stream = await promisify(client.get.bind(client))(remote);
    await new Promise((resolve, reject) =>
      stream.on("error", reject).pipe(fs.createWriteStream(local)).on("finish", resolve),
    );
  },
  list: async (client, remote) =>
    (await promisify(client.list.bind(client))(remote)).forEach((file) => console.log(file.name)),
  rename: (client, from, to) => promisify(client.rename.bind(client))(from, to),
  delete: (client, remote) => promisify(client.delete.bind(client))(remote),
};

async function main() {
  if (verb === "version") {
    const version = JSON.parse(fs.readFileSync(path.join(process.env.NODE_PATH, module_, "package.json"))).version;
    console.log(`${module_} ${version}, Node ${process.version}`);
  } else if (verb === "puts") {
    await some(...rest, 0, 1);
  } else if (verb === "four") {
    await Promise.all([0, 1, 2, 3].map((n) => some(...rest, n, 4)));
  } else if (verb in verbs) {
    const client = await connect();
    await verbs[verb](client, ...rest);
    client.end();
  } else {
    process.exit(64);
  }
}

main().catch((error) => {
  console.error(error.message);
  process.exit(1);
});
