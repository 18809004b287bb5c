// An ESME on node-smpp: binds, sends one message of each kind, takes MO and receipts; a line of JSON an event.
// node node_client.js PORT BIND SYSTEM_ID PASSWORD SHORTCODE DESTINATION
'use strict';
const smpp = require('smpp');
const [port, bind, systemId, password, source, dest] = process.argv.slice(2);

function say(event, fields) {
  process.stdout.write(JSON.stringify({ event, ...fields }) + '\n');
}

const session = smpp.connect({ url: `smpp://127.0.0.1:${port}`, auto_enquire_link_period: 200 });
session.on('error', (error) => say('error', { message: error.message }));
session.on('close', () => { say('closed'); process.exit(0); });
session.on('enquire_link', (pdu) => session.send(pdu.response()));
session.on('deliver_sm', (pdu) => {
  say('deliver_sm', { source: pdu.source_addr, dest: pdu.destination_addr, esm_class: pdu.esm_class,
    text: pdu.short_message.message ? pdu.short_message.message.toString() : '',
    receipted: pdu.receipted_message_id });
  session.send(pdu.response());
});

const messages = {
  plain: { short_message: 'from node' },
  ucs2: { short_message: 'k\u0113 te pai \u0101', data_coding: 8 },
  long: { short_message: { udh: Buffer.from([0x05, 0x00, 0x03, 0xcc, 0x02, 0x01]), message: 'part one' }, esm_class: 0x40 },
  payload: { message_payload: 'p'.repeat(2000) },
  tlvs: { short_message: 'tlvs', user_message_reference: 77, registered_delivery: 1 },
};

session['bind_' + bind]({ system_id: systemId, password }, (answer) => {
  say('bound', { status: answer.command_status, version: answer.sc_interface_version });
  if (answer.command_status !== 0 || bind === 'receiver') return;
  for (const [kind, fields] of Object.entries(messages)) {
    session.submit_sm({ source_addr: source, destination_addr: dest, ...fields }, (resp) =>
      say('submit_sm_resp', { kind, status: resp.command_status, id: resp.message_id }));
  }
});
process.on('SIGTERM', () => session.unbind(() => session.close()));
