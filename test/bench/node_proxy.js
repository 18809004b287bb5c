// The smallest SMPP proxy on node-smpp, as somebody would write it: a session upstream for each client's, each PDU decoded
// and encoded again. A peer for test/bench, no more.
// node node_proxy.js PORT SMSC_PORT
'use strict';
const smpp = require('smpp');
const [port, smscPort] = process.argv.slice(2);

function relay(from, to, pdu) {
  const sequence = pdu.sequence_number;
  const request = new smpp.PDU(pdu.command, { ...pdu, sequence_number: 0, command_length: undefined });
  const sent = to.send(request, (answer) => {
    answer.sequence_number = sequence;
    from.send(answer);
  });
  if (!sent) from.send(pdu.response({ command_status: smpp.ESME_RSYSERR }));
}

const server = smpp.createServer((client) => {
  const smsc = smpp.connect({ url: `smpp://127.0.0.1:${smscPort}` });
  for (const command of ['bind_transceiver', 'bind_transmitter', 'bind_receiver', 'submit_sm', 'unbind']) {
    client.on(command, (pdu) => relay(client, smsc, pdu));
  }
  smsc.on('deliver_sm', (pdu) => relay(smsc, client, pdu));
  for (const session of [client, smsc]) {
    session.on('enquire_link', (pdu) => session.send(pdu.response()));
    session.on('error', () => session.destroy());
  }
  client.on('close', () => smsc.close());
  smsc.on('close', () => client.close());
});
server.listen(Number(port), '127.0.0.1');
