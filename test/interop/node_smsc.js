// An SMSC on node-smpp: takes every bind and message, sends a receipt where one is asked for, and one MO a bind.
// node node_smsc.js SHORTCODE; prints "ready PORT", then a line of JSON an event.
'use strict';
const smpp = require('smpp');
const shortcode = process.argv[2];
let messages = 0;

function say(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');
}

function textOf(pdu) {
  if (pdu.message_payload) return (pdu.message_payload.message || pdu.message_payload).toString();
  return pdu.short_message.message.toString();
}

const server = smpp.createServer((session) => {
  const bound = (pdu) => {
    say('bind', { command: pdu.command, system_id: pdu.system_id, version: pdu.interface_version });
    session.send(pdu.response({ system_id: 'node', sc_interface_version: 0x34 }));
    session.deliver_sm({ source_addr: '64271234567', destination_addr: shortcode, short_message: 'an MO of node' },
      (resp) => say('deliver_sm_resp', { what: 'mo', status: resp.command_status }));
  };
  ['bind_transceiver', 'bind_receiver', 'bind_transmitter'].forEach((name) => session.on(name, bound));
  session.on('submit_sm', (pdu) => {
    const id = `node-${++messages}`;
    say('submit_sm', { source: pdu.source_addr, dest: pdu.destination_addr, text: textOf(pdu) });
    session.send(pdu.response({ message_id: id }));
    if (pdu.registered_delivery) {
      session.deliver_sm({ source_addr: pdu.destination_addr, destination_addr: pdu.source_addr, esm_class: 4,
        short_message: `id:${id} sub:001 dlvrd:001 submit date:2601010000 done date:2601010000 stat:DELIVRD err:000 text:`,
        receipted_message_id: id, message_state: 2 },
      (resp) => say('deliver_sm_resp', { what: 'receipt', status: resp.command_status }));
    }
  });
  session.on('enquire_link', (pdu) => session.send(pdu.response()));
  session.on('unbind', (pdu) => { session.send(pdu.response()); session.close(); });
  session.on('error', (error) => say('error', { message: error.message }));
});
server.on('listening', () => process.stdout.write(`ready ${server.address().port}\n`));
server.listen(0, '127.0.0.1');
