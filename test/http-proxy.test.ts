import { httpProxy } from 'swarmhub/plugins/http-proxy'
import { testProxy } from './roles/proxy.ts'

testProxy('http-proxy', () => ({ proxy: httpProxy({ host: '127.0.0.1', port: 0 }).proxy }))
