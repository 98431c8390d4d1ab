/** What this target does not do, or does otherwise than a standard says: what, the answer, and why. */
export const REFUSALS = [
  [
    'ERL above 0: SNACK, TASK REASSIGN',
    'Reject; response 04h',
    'no client asks for it; a lost connection is a new session'
  ],
  ['several connections in a session', 'MaxConnections=1', 'Windows and Linux use several sessions instead'],
  ['markers', 'IFMarker=No, OFMarker=No', 'obsolete (RFC 7143 §13.25)'],
  [
    'SendTargets=All in a normal session',
    "the session's own target",
    'RFC 7143 appendix C forbids more; initiators ask, and other targets answer'
  ],
  [
    'a misspelt SendTargets in a normal session',
    'Reject, not NotUnderstood',
    "libiscsi's suite asks for it; its client takes any answer for a list of targets"
  ],
  ['CLEAR ACA, NORMACA', 'response 05h, INVALID FIELD IN CDB', 'no auto contingent allegiance'],
  [
    'FORMAT UNIT, REASSIGN BLOCKS, READ and WRITE BUFFER, ATA PASS-THROUGH',
    'INVALID COMMAND OPERATION CODE',
    'there is no drive behind the disk'
  ],
  ['protection information', 'INVALID FIELD IN CDB', 'PROTECT=0'],
  ['anchored blocks (ANCHOR)', 'INVALID FIELD IN CDB', 'ANC_SUP=0: a delta has no room that is reserved and empty'],
  ['WRITE SAME of 0 blocks', 'INVALID FIELD IN CDB', 'WSNZ=1: a client that has miscounted would unmap everything'],
  ['COMPARE AND WRITE of more than one block', 'INVALID FIELD IN CDB', 'MAXIMUM COMPARE AND WRITE LENGTH is 1'],
  [
    'WRITE ATOMIC with boundaries, or on a disk without delta',
    'INVALID FIELD IN CDB; INVALID COMMAND OPERATION CODE',
    'a plain file cannot promise it'
  ],
  [
    'SANITIZE where it is not allowed',
    'INVALID COMMAND OPERATION CODE',
    'it wipes what a client sees; --allow-sanitize'
  ],
  [
    'RECEIVE COPY DATA, REPORT ALL ROD TOKENS; sense data with GOOD (G_SENSE)',
    'INVALID FIELD IN CDB; INVALID FIELD IN PARAMETER LIST',
    'nothing is held; nobody has to know the tokens of others'
  ],
  [
    'IMMED of copies and tokens',
    'taken as 0',
    'SPC-4 §5.17.4.3 allows it; Windows does not set it, and work behind a status would outlive a logout'
  ],
  [
    'tokens that outlive changes of their data',
    'INVALID FIELD IN PARAMETER LIST; 23h/08h at their use',
    'a token is good as long as nothing of its data was written (decision 23)'
  ],
  [
    'tokens of another initiator, or for a unit that the nexus does not see',
    'TOKEN UNKNOWN, 23h/04h',
    'private views: what one client has is no business of another'
  ],
  ['copies to or from units that the nexus does not see', 'COPY ABORTED, 08h/04h', 'CVE-2020-28374'],
  [
    'SPEC_I_PT, ALL_TG_PT, REGISTER AND MOVE',
    'INVALID FIELD IN PARAMETER LIST; INVALID FIELD IN CDB',
    'REPORT CAPABILITIES says so'
  ],
  ['APTPL on a private unit', 'INVALID FIELD IN PARAMETER LIST', 'its delta ends with its client; PTPL_C=0'],
  [
    'ALUA, REPORT TARGET PORT GROUPS',
    'TPGS=0, INVALID FIELD IN CDB',
    'one port group; implicit states confuse Windows'
  ],
  ['saved mode pages', 'SAVING PARAMETERS NOT SUPPORTED', 'modes are those of the configuration after a restart']
]
