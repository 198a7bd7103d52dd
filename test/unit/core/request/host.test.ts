import assert from 'node:assert/strict';
import { describe, it } from 'node:test';
import { parseRequest } from '../../../../operator/core/request/parse.ts';
import { get, verdict } from './raw.ts';

const withHost = (...values: readonly string[]) =>
  get(
    '/',
    values.flatMap((value) => ['Host', value]),
  );

describe('T09: the Host header names the metadata server', () => {
  const accepted = [
    'metadata',
    'metadata.google.internal',
    'metadata.google.internal.',
    'METADATA.Google.Internal',
    'metadata:80',
    'metadata.google.internal.:80',
    '169.254.169.254',
    '169.254.169.254:80',
    '169.254.169.254:8080',
    '[fd20:ce::254]',
    '[fd20:ce::254]:80',
    'metadata.google.internal.web.svc.cluster.local',
    'metadata.google.internal.cluster.local.',
    'metadata.c.my-project.internal',
    'metadata.europe-west4-a.c.my-project.internal',
  ];
  for (const host of accepted) {
    it(`${host} is accepted`, () => assert.equal(verdict(parseRequest(withHost(host))), 'accepted'));
  }

  const foreign = [
    'evil.example',
    'metadata.evil.example',
    'metadata.google.internal.evil.example',
    'evil.internal',
    'xmetadata.google.internal',
    'metadata.google.internal@evil.example',
    'metadata..internal',
    'metadata.google.internal..',
    '.metadata',
    'localhost',
    '127.0.0.1',
    '169.254.169.254.',
    '169.254.169.253',
    '2852039166',
    '0xa9fea9fe',
    '[::ffff:169.254.169.254]',
    'fd20:ce::254',
    'metadata:0',
    'metadata:65536',
    'metadata:http',
    'metadata:',
    'metadata, metadata',
    'metadata/',
    '',
    ' ',
    `metadata.${'a'.repeat(300)}.internal`,
    'm\u00e9tadata',
  ];
  for (const host of foreign) {
    it(`${JSON.stringify(host.slice(0, 60))} is refused`, () => {
      assert.equal(verdict(parseRequest(withHost(host))), 'host-not-allowed 403');
    });
  }

  it('no Host and two Hosts are refused, even two equal ones', () => {
    assert.equal(verdict(parseRequest(withHost())), 'host-missing 400');
    assert.equal(verdict(parseRequest(withHost('metadata', 'metadata'))), 'host-missing 400');
  });

  it('further addresses and the cluster domain are the caller’s to give', () => {
    const hosts = { addresses: ['127.0.0.1'], clusterDomain: 'corp.example' };
    assert.equal(verdict(parseRequest(withHost('127.0.0.1:18980'), hosts)), 'accepted');
    assert.equal(verdict(parseRequest(withHost('metadata.web.svc.corp.example'), hosts)), 'accepted');
    assert.equal(verdict(parseRequest(withHost('169.254.169.254'), hosts)), 'host-not-allowed 403');
  });
});
