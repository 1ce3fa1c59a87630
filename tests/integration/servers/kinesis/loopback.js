// Preloaded (node -r): whatever server the program opens listens on 127.0.0.1 and nowhere else.
const net = require('net');
const listen = net.Server.prototype.listen;
net.Server.prototype.listen = function (first, ...rest) {
  const then = [first, ...rest].find((one) => typeof one === 'function');
  if (first !== null && typeof first === 'object' && 'port' in first) {
    return listen.call(this, { ...first, host: '127.0.0.1' }, ...rest);
  }
  if (Number.isInteger(Number(first))) return listen.call(this, { port: Number(first), host: '127.0.0.1' }, then);
  return listen.call(this, first, ...rest);
};
