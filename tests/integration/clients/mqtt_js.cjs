// One scenario of mqtt.js: node mqtt_js.cjs URL VERSION(4|5) USER PASSWORD. Ends with 0 and prints "done" when everything held.
'use strict'
const assert = require('node:assert/strict')
const mqtt = require('mqtt')

const [url, level, username, password] = process.argv.slice(2)
const version = Number(level)
const name = `js-${new URL(url).protocol.slice(0, -1)}-${version}`
const large = Buffer.alloc(200000, 'x')

function client (id, options = {}) {
  const connecting = mqtt.connect(url, {
    clientId: `${name}-${id}`, protocolVersion: version, username, password, reconnectPeriod: 0, rejectUnauthorized: false, ...options
  })
  connecting.heard = []
  connecting.waiting = []
  connecting.on('message', (topic, payload, packet) => {
    const waiting = connecting.waiting.shift()
    if (waiting) waiting(packet)
    else connecting.heard.push(packet)
  })
  connecting.next = () => connecting.heard.length
    ? Promise.resolve(connecting.heard.shift())
    : new Promise(resolve => connecting.waiting.push(resolve))
  return new Promise((resolve, reject) => {
    connecting.once('connect', connack => { connecting.connack = connack; resolve(connecting) })
    connecting.once('error', error => { connecting.end(true); reject(error) })
  })
}

async function refused () {
  const error = await client('refused', { password: 'wrong' }).then(() => assert.fail('let in'), refusal => refusal)
  assert.equal(error.code, version === 5 ? 135 : 5)
}

async function everyQos () {
  const one = await client('qos')
  for (const qos of [0, 1, 2]) {
    const granted = await one.subscribeAsync(`${name}/qos/${qos}`, { qos })
    assert.equal(granted[0].qos, qos)
    for (const payload of ['small', large]) {
      await one.publishAsync(`${name}/qos/${qos}`, payload, { qos })
      const packet = await one.next()
      assert.equal(packet.qos, qos)
      assert.ok(packet.payload.equals(Buffer.from(payload)))
    }
  }
  await one.unsubscribeAsync(`${name}/qos/1`)
  await one.publishAsync(`${name}/qos/1`, 'unheard', { qos: 1 })
  await one.publishAsync(`${name}/qos/2`, 'heard', { qos: 2 })
  assert.equal((await one.next()).payload.toString(), 'heard')
  await one.endAsync()
}

async function retained () {
  const one = await client('retained')
  await one.publishAsync(`${name}/retained`, 'kept', { qos: 1, retain: true })
  await one.subscribeAsync(`${name}/retained`, { qos: 1 })
  const packet = await one.next()
  assert.equal(packet.payload.toString(), 'kept')
  assert.ok(packet.retain)
  await one.publishAsync(`${name}/retained`, '', { qos: 1, retain: true })
  await one.endAsync()
}

async function will () {
  const listener = await client('listener')
  await listener.subscribeAsync(`${name}/will`, { qos: 1 })
  const dying = await client('dying', { will: { topic: `${name}/will`, payload: Buffer.from('gone'), qos: 1, retain: false } })
  dying.stream.destroy()
  assert.equal((await listener.next()).payload.toString(), 'gone')
  await listener.endAsync()
}

async function session () {
  const kept = { clean: false, ...(version === 5 ? { properties: { sessionExpiryInterval: 300 } } : {}) }
  const away = await client('session', kept)
  await away.subscribeAsync(`${name}/session`, { qos: 2 })
  await away.endAsync()
  const sender = await client('sender')
  for (let n = 0; n < 6; n++) await sender.publishAsync(`${name}/session`, String(n), { qos: 1 })
  await sender.endAsync()
  const back = await client('session', kept)
  assert.ok(back.connack.sessionPresent)
  for (let n = 0; n < 6; n++) assert.equal((await back.next()).payload.toString(), String(n))
  await back.endAsync()
}

async function five () {
  const server = await client('server', { properties: { topicAliasMaximum: 10, receiveMaximum: 5, userProperties: { a: 'b' } } })
  const asking = await client('asking', { autoAssignTopicAlias: true })
  assert.ok(asking.connack.properties.topicAliasMaximum > 0)
  assert.ok(asking.connack.properties.maximumPacketSize > large.length)
  await server.subscribeAsync(`${name}/ask`, { qos: 1, rap: true, properties: { subscriptionIdentifier: 9 } })
  await asking.subscribeAsync(`${name}/answers`, { qos: 1 })
  for (const correlation of ['1', '2', '3']) { // the second and the third go under a topic alias, both ways
    await asking.publishAsync(`${name}/ask`, 'how?', {
      qos: 1,
      properties: {
        responseTopic: `${name}/answers`,
        correlationData: Buffer.from(correlation),
        contentType: 'text/plain',
        payloadFormatIndicator: true,
        messageExpiryInterval: 60,
        userProperties: { k: ['v', 'w'] }
      }
    })
    const asked = await server.next()
    const said = asked.properties
    assert.equal(asked.payload.toString(), 'how?')
    assert.equal(said.contentType, 'text/plain')
    assert.equal(said.subscriptionIdentifier, 9)
    assert.deepEqual([...said.userProperties.k], ['v', 'w'])
    assert.ok(said.messageExpiryInterval > 0 && said.messageExpiryInterval <= 60)
    await server.publishAsync(said.responseTopic, 'so', { qos: 1, properties: { correlationData: said.correlationData } })
    assert.equal((await asking.next()).properties.correlationData.toString(), correlation)
  }
  await server.endAsync()
  await asking.endAsync()
}

async function main () {
  for (const step of [refused, everyQos, retained, will, session, ...(version === 5 ? [five] : [])]) {
    process.stderr.write(`${step.name}\n`)
    await step()
  }
  console.log('done')
}

main().catch(error => { console.error(error); process.exit(1) })
