import { Counter, collectDefaultMetrics, Gauge, Histogram, Registry } from 'prom-client'

/** Metrics under JupyterHub's names, so that its dashboards work, and a few of our own under `swarmhub_`. */
export function createMetrics() {
  const register = new Registry()
  collectDefaultMetrics({ register })
  const registers = [register]
  const seconds = [0.005, 0.01, 0.025, 0.05, 0.1, 0.25, 0.5, 1, 2.5, 5, 10, 30, 60, 120, 300, 600]
  const histogram = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Histogram({ name, help, labelNames, buckets: seconds, registers })
  const gauge = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Gauge({ name, help, labelNames, registers })
  const counter = <L extends string>(name: string, help: string, labelNames: readonly L[] = []) =>
    new Counter({ name, help, labelNames, registers })
  return {
    register,
    request: histogram('jupyterhub_request_duration_seconds', 'Time to answer a request', ['method', 'handler', 'code']),
    spawn: histogram('jupyterhub_server_spawn_duration_seconds', 'Time a start took', ['status']),
    stop: histogram('jupyterhub_server_stop_seconds', 'Time a stop took', ['status']),
    poll: histogram('jupyterhub_server_poll_duration_seconds', 'Time of a look at a server', ['status']),
    login: histogram('jupyterhub_login_duration_seconds', 'Time of a sign-in', ['status']),
    proxyAdd: histogram('jupyterhub_proxy_add_duration_seconds', 'Time to add a route', ['status']),
    proxyRemove: histogram('jupyterhub_proxy_delete_duration_seconds', 'Time to remove a route', ['status']),
    proxyPoll: histogram('jupyterhub_proxy_poll_duration_seconds', 'Time to read the route table'),
    checkRoutes: histogram('jupyterhub_check_routes_duration_seconds', 'Time to set the route table right'),
    startup: histogram('jupyterhub_hub_startup_duration_seconds', 'Time until the hub was up'),
    eventLoop: histogram('jupyterhub_event_loop_interval_seconds', 'Time between two ticks of the event loop, due every 50 ms'),
    running: gauge('jupyterhub_running_servers', 'Servers that run'),
    users: gauge('jupyterhub_total_users', 'Users known'),
    active: gauge('jupyterhub_active_users', 'Users active within the period', ['period']),
    hookFailures: counter('swarmhub_hook_failures_total', 'Hooks that threw or hung', ['plugin', 'hook']),
    jobRuns: counter('swarmhub_job_runs_total', 'Runs of background work', ['plugin', 'job', 'status']),
  }
}

export type Metrics = ReturnType<typeof createMetrics>
