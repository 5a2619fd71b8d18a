# swarmhub: one image for both processes. `docker build -t swarmhub .`
FROM node:24-bookworm-slim AS build
WORKDIR /app
COPY package.json package-lock.json .npmrc ./
RUN npm ci --ignore-scripts --no-audit --no-fund
COPY tsconfig.json hub.config.ts ./
COPY core core
COPY plugins plugins
COPY test/roles test/roles
RUN npm run build && npm prune --omit=dev --ignore-scripts --no-audit --no-fund

FROM node:24-bookworm-slim
ENV NODE_ENV=production
WORKDIR /app
COPY --from=build /app/package.json ./
COPY --from=build /app/node_modules node_modules
COPY --from=build /app/dist dist
# The state is here; a volume mounted over it starts with this owner. hub.config.ts is mounted beside it.
RUN mkdir -p /srv/swarmhub/data && chown -R 1000:1000 /srv/swarmhub && chmod 700 /srv/swarmhub/data
WORKDIR /srv/swarmhub
USER 1000:1000
EXPOSE 8000 8001 8081
ENTRYPOINT ["node", "--enable-source-maps", "--disable-warning=DEP0060", "/app/dist/core/main.js"]
CMD ["start"]
