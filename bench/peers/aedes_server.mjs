// aedes with one user and one tree of topics. Its only argument is JSON: port, user, password, tree, queue, certificate, key, module.
import { createHash, timingSafeEqual } from 'node:crypto'
import { readFileSync } from 'node:fs'
import net from 'node:net'
import tls from 'node:tls'

const options = JSON.parse(process.argv[2])
const { Aedes } = await import(options.module)
const digest = (text) => createHash('sha256').update(text).digest()
const known = digest(options.password)
const within = (topic) => topic.startsWith(options.tree)

const broker = await Aedes.createBroker({
  queueLimit: options.queue,
  authenticate (client, user, password, done) {
    done(null, user === options.user && timingSafeEqual(digest(password ?? ''), known))
  },
  authorizePublish (client, packet, done) {
    done(within(packet.topic) ? null : new Error('not your topic'))
  },
  authorizeSubscribe (client, subscription, done) {
    done(null, within(subscription.topic) ? subscription : null)
  }
})
const server = options.certificate
  ? tls.createServer({ cert: readFileSync(options.certificate), key: readFileSync(options.key) }, broker.handle)
  : net.createServer({ noDelay: true }, broker.handle)
server.listen({ port: options.port, host: '127.0.0.1', backlog: 1024 })
