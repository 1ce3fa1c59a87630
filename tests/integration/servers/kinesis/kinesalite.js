// kinesalite as a library: its own command line listens on every interface. kinesalite.js PORT
const kinesalite = require('kinesalite');
const quick = { createStreamMs: 20, deleteStreamMs: 20, updateStreamMs: 20, shardLimit: 200 };
kinesalite(quick).listen(Number(process.argv[2]), '127.0.0.1');
